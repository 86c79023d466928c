//! Where a run's lines go: a file or standard output, and kept while standard output is a terminal that a view has taken.
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Tells people something. That nobody reads it, or that their terminal is gone, is no reason to end a run.
pub(super) fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// What the lines go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One that a view may have taken.
    Terminal,
    /// Anything else.
    Elsewhere,
}

/// The lines' way out.
pub(super) struct Lines {
    out: Box<dyn Write>,
    place: Place,
    held: Option<Vec<u8>>,
}

impl Lines {
    /// To this file; without one to standard output.
    pub(super) fn open(csv: Option<&Path>) -> io::Result<Self> {
        let out: Box<dyn Write> = match csv {
            Some(path) => Box::new(File::create(path)?),
            None => Box::new(io::stdout()),
        };
        let place = if csv.is_none() && io::stdout().is_terminal() {
            Place::Terminal
        } else {
            Place::Elsewhere
        };
        Ok(Self::new(out, place))
    }

    fn new(out: Box<dyn Write>, place: Place) -> Self {
        Self {
            out,
            place,
            held: None,
        }
    }

    /// The terminal is taken: what would go there is kept until it is given back.
    pub(super) fn hold(&mut self) {
        if self.place == Place::Terminal {
            self.held.get_or_insert_default();
        }
    }

    /// The terminal has been given back.
    pub(super) fn release(&mut self) -> io::Result<()> {
        let held = self.held.take().unwrap_or_default();
        self.write(&held)
    }

    /// One more, whole.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        match &mut self.held {
            Some(held) => writeln!(held, "{line}"),
            None => self.write(format!("{line}\n").as_bytes()),
        }
    }

    /// A terminal that has hung up takes nothing, and nobody is left to miss it: the run's other files are to be whole all the same.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        match self.place {
            Place::Terminal => Ok(()),
            Place::Elsewhere => written,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Where a run ends early, what it has measured is shown all the same.
        let _ = self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Clone, Default)]
    struct Out(Rc<RefCell<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Out {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    #[test]
    fn what_a_taken_terminal_would_get_comes_once_it_is_given_back() {
        let out = Out::default();
        let mut lines = Lines::new(Box::new(out.clone()), Place::Terminal);
        lines.line("a").unwrap();
        lines.hold();
        lines.line("b").unwrap();
        assert_eq!(out.text(), "a\n");
        lines.release().unwrap();
        lines.line("c").unwrap();
        assert_eq!(out.text(), "a\nb\nc\n");
    }

    /// What a terminal does that is gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_that_is_gone_is_no_error_and_a_file_that_is_full_is_one() {
        let mut lines = Lines::new(Box::new(Gone), Place::Terminal);
        lines.hold();
        lines.line("a").unwrap();
        lines.release().unwrap();
        lines.line("b").unwrap();
        assert!(
            Lines::new(Box::new(Gone), Place::Elsewhere)
                .line("a")
                .is_err()
        );
    }

    #[test]
    fn a_run_that_ends_early_shows_what_was_kept() {
        let out = Out::default();
        let mut lines = Lines::new(Box::new(out.clone()), Place::Terminal);
        lines.hold();
        lines.line("a").unwrap();
        drop(lines);
        assert_eq!(out.text(), "a\n");
    }

    #[test]
    fn what_is_no_terminal_gets_its_lines_at_once() {
        let out = Out::default();
        let mut lines = Lines::new(Box::new(out.clone()), Place::Elsewhere);
        lines.hold();
        lines.line("a").unwrap();
        assert_eq!(out.text(), "a\n");
    }
}
