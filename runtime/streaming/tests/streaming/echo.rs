//! A backend whose commands say what they hear.

use std::net::SocketAddr;

use bytes::Bytes;
use corten_runtime_streaming::{Attach, Backend, Exec, Failure, Streams};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) static TOLD_GONE: Notify = Notify::const_new();

#[derive(Debug)]
pub(crate) struct Echo;

impl Backend for Echo {
    fn exec<'a>(
        &'a self,
        request: &'a Exec,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<i32, Failure>> {
        async move {
            let words: Vec<&str> = request.command.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["exit", code] => {
                    let count = echo(streams).await;
                    if let Some(stderr) = &streams.stderr {
                        stderr.write(format!("{count} bytes").into()).await.unwrap();
                    }
                    Ok(code.parse().unwrap())
                }
                ["until gone"] => {
                    streams.gone.cancelled().await;
                    Ok(0)
                }
                _ => Err(Failure("it was told to fail".to_owned())),
            }
        }
        .boxed()
    }

    fn attach<'a>(
        &'a self,
        _request: &'a Attach,
        streams: &'a mut Streams,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let size = streams.resizes.as_mut().unwrap().next().await.unwrap();
            let line = format!("{}x{}\n", size.width, size.height);
            streams.stdout.as_ref().unwrap().write(line.into()).await.unwrap();
            echo(streams).await;
            Ok(())
        }
        .boxed()
    }

    fn dial<'a>(
        &'a self,
        _sandbox_id: &'a str,
        port: u16,
    ) -> BoxFuture<'a, Result<TcpStream, Failure>> {
        async move {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            TcpStream::connect(address).await.map_err(|error| Failure(error.to_string()))
        }
        .boxed()
    }
}

async fn echo(streams: &mut Streams) -> usize {
    let mut count = 0;
    while let Some(bytes) = streams.stdin.as_mut().unwrap().read().await {
        count += bytes.len();
        streams.stdout.as_ref().unwrap().write(bytes).await.unwrap();
    }
    count
}

/// A server that says what it heard once the other side has ended; it stops with the test.
pub(crate) async fn listen() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = corten_task::Tasks::new();
    tasks.spawn("echo", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 3];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(&Bytes::from(heard)).await.unwrap();
        }
    });
    address
}
