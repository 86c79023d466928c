//! Ends a test binary at its first failure, for a run over many mutants, each of which needs to fail but once.

/// With `PUBSUB_FAIL_FAST` in the environment the first panic of this process is its last. Nothing here expects a panic.
pub fn arm() {
    static ARMED: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("PUBSUB_FAIL_FAST").is_none() {
        return;
    }
    ARMED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            report(panic);
            std::process::exit(101);
        }));
    });
}
