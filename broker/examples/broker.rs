//! A broker to try clients against: `cargo run --example broker -- [port] [admin port]`.

use std::net::SocketAddr;

use pulsewire_broker::{Server, ServerConfig};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut ports = std::env::args().skip(1).filter_map(|arg| arg.parse::<u16>().ok());
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let config = ServerConfig {
        listen: local(ports.next().unwrap_or(6650)),
        admin_listen: Some(local(ports.next().unwrap_or(8080))),
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await?;
    #[allow(clippy::print_stdout)]
    {
        println!("{} {:?}", server.service_url(), server.admin_addr());
    }
    let stop = async {
        // Without a signal handler it runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.run(stop).await
}
