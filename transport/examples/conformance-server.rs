//! Runs the helper peer of the conformance cases over WebSocket, for a browser run in another
//! process: prints the URL of the helper and one where nobody listens, each on its own line, and
//! stops when its standard input ends.

#[cfg(not(target_family = "wasm"))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    use pulsewire_transport::conformance::server::Server;
    use std::io::Write;
    use tokio::io::AsyncReadExt;

    let server = Server::websocket().await?;
    let peers = server.peers();
    let mut out = std::io::stdout().lock();
    for target in [&peers.target, &peers.refused] {
        writeln!(out, "ws://{}:{}", target.host, target.port)?;
    }
    out.flush()?;
    drop(out);
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

#[cfg(target_family = "wasm")]
fn main() {}
