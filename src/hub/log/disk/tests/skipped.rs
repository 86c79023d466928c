//! What was skipped after a loss is known for as long as some class has something from before it.
use super::*;

/// Of two classes, of which one forgets soon.
fn two_rules() -> Vec<Retain> {
    let rule = |pattern: &str, bytes| Retain {
        pattern: pattern.to_owned(),
        bytes,
        age_ms: None,
        count: None,
    };
    vec![rule("short", 2000), rule(RULE, 1 << 20)]
}

fn open_both(folder: &Path) -> (DiskLog, [TopicId; 2]) {
    let mut log = open(folder, &two_rules(), LogSync::None).unwrap();
    let mut topics = Topics::new(2);
    log.recovered();
    let ids = ["short", "long"].map(|name| {
        let id = topics.insert(name).unwrap();
        log.add_topic(id, name);
        id
    });
    (log, ids)
}

fn append(log: &mut DiskLog, id: TopicId, topic: &str) -> i64 {
    let room = log.check_room(now(), Some(id), topic, topic.len() + 100);
    assert_eq!(room, Ok(()));
    let publication = Publication {
        topic,
        key: None,
        data: &[b'1'; 100],
    };
    let offset = log.append(now(), id, &publication).offset();
    log.commit(now()).unwrap();
    offset
}

#[test]
fn retention_of_one_class_does_not_forget_what_may_have_been_lost_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, [_, keeping]) = open_both(folder.path());
    for _ in 0..4 {
        append(&mut log, keeping, "long");
    }
    drop(log);
    let segment = folder.path().join("classes/%3E/00000000000000000001.log");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();

    let (mut log, [forgetting, _]) = open_both(folder.path());
    assert_eq!(log.hole_at(3), Some(4), "the fourth was torn");
    let mut gone = Vec::new();
    while gone.is_empty() {
        assert!(append(&mut log, forgetting, "short") > 4);
        log.retain(now(), &mut gone);
    }
    assert!(log.floor() > 4);
    assert_eq!(log.hole_at(3), Some(4), "who reads `long` has to be told");
    drop(log);
    let (log, _) = open_both(folder.path());
    assert_eq!(log.hole_at(3), Some(4));
}
