//! Admin.
use std::sync::Arc;
/// temporary
pub async fn run(
    _config: Arc<crate::config::Config>,
    _listener: std::net::TcpListener,
    _board: Arc<crate::telemetry::scoreboard::Scoreboard>,
    control: crate::link::control::RoleControl,
) -> std::io::Result<()> {
    let (mut reports, mut orders) = control;
    reports.send(&crate::link::control::Report::Ready).await?;
    let _ = orders.recv().await;
    Ok(())
}
