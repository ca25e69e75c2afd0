//! Checks that a server accepts clients.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const PAUSE: Duration = Duration::from_millis(5);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(2);

/// The check of one server.
pub(crate) enum Greeting {
    /// nats-server sends its name to a client once JetStream has recovered.
    Nats { port: u16, server_name: String },
    /// Postgres accepts connections once it has recovered.
    Postgres { url: String },
}

impl Greeting {
    /// Asks until the server answers.
    pub(crate) async fn answered(&self) {
        while !matches!(timeout(ATTEMPT_LIMIT, self.ask()).await, Ok(true)) {
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self) -> bool {
        match self {
            Self::Nats { port, server_name } => {
                let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await else { return false };
                let mut hello = String::new();
                // The name distinguishes this server from another one on the same port.
                BufReader::new(stream).read_line(&mut hello).await.is_ok()
                    && hello.contains(server_name.as_str())
            }
            Self::Postgres { url } => match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
                Ok((client, connection)) => {
                    drop(client);
                    connection.await.is_ok()
                }
                Err(_) => false,
            },
        }
    }
}
