//! A wire that can be cut at the worst moment.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The treatment of the next connection that sends a given text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server gets and answers it, the answer is lost with the connection.
    AfterAnswer,
    /// The server never sees it, the connection is lost.
    BeforeSending,
    /// The server gets and answers it, the answer is swallowed, the connection stands.
    Swallow,
}

/// Forwards to a server, until told to cut.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: String,
    armed: Arc<Mutex<Option<(Cut, &'static str)>>>,
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxy = Self { address, armed: Arc::default() };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, server) = (accepting.clone(), server.clone());
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        // A cut or closed connection is the point of it all.
                        let _ = proxy.forward(client, server).await;
                    }
                });
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Cuts the next connection on which `text` is sent.
    pub(crate) fn arm(&self, cut: Cut, text: &'static str) {
        *self.armed.lock().unwrap() = Some((cut, text));
    }

    /// True once the cut has been made.
    pub(crate) fn has_cut(&self) -> bool {
        self.armed.lock().unwrap().is_none()
    }

    fn cut_for(&self, sent: &[u8]) -> Option<Cut> {
        let mut armed = self.armed.lock().unwrap();
        let (cut, text) = (*armed)?;
        let found = sent.windows(text.len()).any(|window| window == text.as_bytes());
        found.then(|| *armed = None).map(|()| cut)
    }

    async fn forward(self, mut client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                length = client.read(&mut sent) => {
                    let sent = &sent[..length?];
                    if sent.is_empty() {
                        return Ok(());
                    }
                    match self.cut_for(sent) {
                        None => server.write_all(sent).await?,
                        Some(Cut::BeforeSending) => return Ok(()),
                        Some(cut) => {
                            server.write_all(sent).await?;
                            let mut answer = Vec::new();
                            while !answer.windows(6).any(|window| window == b"\"seq\":") {
                                server.read_buf(&mut answer).await?;
                            }
                            if cut == Cut::AfterAnswer {
                                return Ok(());
                            }
                        }
                    }
                }
                length = server.read(&mut answered) => {
                    let answered = &answered[..length?];
                    if answered.is_empty() {
                        return Ok(());
                    }
                    client.write_all(answered).await?;
                }
            }
        }
    }
}
