//! What a subscription is asked for with on the next connection: its settings as wanted first and changed since.
//!
//! Law: what was never named stays unnamed, so that another node's defaults may act.
use pubsub_wire::command::{Patch, Reconfigure, Subscribe};
use pubsub_wire::value::{Bound, Rate, RateMode, Settings, When};

/// Takes a change that the server has answered with `settings`.
pub(super) fn change(wish: &mut Subscribe, change: &Reconfigure, settings: &Settings) {
    match &change.rate {
        Patch::Keep => {}
        Patch::Reset => wish.rate = None,
        // No rate has to be said, since the default may be one.
        Patch::Set(_) => wish.rate = Some(settings.rate.unwrap_or(EVERYTHING)),
    }
    match &change.batch {
        Patch::Keep => {}
        Patch::Reset => wish.batch = None,
        Patch::Set(_) => wish.batch = settings.batch,
    }
    match change.bound {
        Patch::Keep => {}
        Patch::Reset => wish.bound = Bound::default(),
        Patch::Set(bound) => {
            wish.bound.messages = bound.messages.apply_option(wish.bound.messages);
            wish.bound.bytes = bound.bytes.apply_option(wish.bound.bytes);
            wish.bound.age_ms = bound.age_ms.apply_option(wish.bound.age_ms);
        }
    }
    match change.overflow {
        Patch::Keep => {}
        Patch::Reset => wish.overflow = None,
        Patch::Set(overflow) => wish.overflow = Some(overflow),
    }
}

const EVERYTHING: Rate = Rate {
    mode: RateMode::All,
    ms: 0,
    max_wait_ms: None,
    when: When::Always,
};

#[cfg(test)]
mod tests {
    use super::*;
    use pubsub_wire::command::{BatchPatch, BoundPatch, RatePatch};
    use pubsub_wire::value::{Batch, From, Overflow};

    fn settings() -> Settings {
        Settings {
            from: From::Live,
            rate: None,
            batch: None,
            bound: Bound {
                messages: Some(1024),
                ..Bound::default()
            },
            overflow: Overflow::DropOldest,
            credit: None,
        }
    }

    #[test]
    fn what_was_not_named_stays_the_nodes_business() {
        let mut wish = Subscribe::default();
        change(&mut wish, &Reconfigure::default(), &settings());
        assert_eq!(wish, Subscribe::default());
        let bound = BoundPatch {
            bytes: Patch::Set(7),
            ..BoundPatch::default()
        };
        let named = Reconfigure {
            bound: Patch::Set(bound),
            overflow: Patch::Set(Overflow::Spill),
            ..Reconfigure::default()
        };
        change(&mut wish, &named, &settings());
        assert_eq!((wish.bound.messages, wish.bound.bytes), (None, Some(7)));
        assert_eq!(wish.overflow, Some(Overflow::Spill));
    }

    #[test]
    fn objects_become_what_the_server_merged_them_to() {
        let mut wish = Subscribe::default();
        let merged = Settings {
            rate: Some(Rate {
                mode: RateMode::Sample,
                ms: 5,
                ..EVERYTHING
            }),
            batch: Some(Batch {
                messages: Some(3),
                ..Batch::default()
            }),
            ..settings()
        };
        let named = Reconfigure {
            rate: Patch::Set(RatePatch {
                ms: Patch::Set(5),
                ..RatePatch::default()
            }),
            batch: Patch::Set(BatchPatch::default()),
            ..Reconfigure::default()
        };
        change(&mut wish, &named, &merged);
        assert_eq!((wish.rate, wish.batch), (merged.rate, merged.batch));
        change(&mut wish, &named, &settings());
        assert_eq!(wish.rate, Some(EVERYTHING), "no rate, whatever the default");
    }

    #[test]
    fn what_is_reset_is_not_named_any_more() {
        let mut wish = Subscribe {
            rate: Some(EVERYTHING),
            batch: Some(Batch::default()),
            bound: settings().bound,
            overflow: Some(Overflow::Spill),
            ..Subscribe::default()
        };
        let reset = Reconfigure {
            rate: Patch::Reset,
            batch: Patch::Reset,
            bound: Patch::Reset,
            overflow: Patch::Reset,
            ..Reconfigure::default()
        };
        change(&mut wish, &reset, &settings());
        assert_eq!(wish, Subscribe::default());
    }
}
