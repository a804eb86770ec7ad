//! Tests codecs of tokio-util on streams of fyke, and on the halves of such streams.

#[path = "../../crates/fyke/tests/support/mod.rs"]
mod support;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use fyke::spawn_local;
use support::futures::streams;
use support::pattern;
use tokio_util::codec::{
    Framed, FramedRead, FramedWrite, LengthDelimitedCodec, LinesCodec, LinesCodecError,
};

on_every_driver! {
    fn lines_are_sent_in_both_directions(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let (client, server) = streams(endpoint).await;
                let echo = spawn_local(async {
                    let mut lines = Framed::new(server, LinesCodec::new());
                    while let Some(line) = lines.next().await {
                        lines.send(line.unwrap().to_uppercase()).await.unwrap();
                    }
                }).unwrap();
                let mut lines = Framed::new(client, LinesCodec::new());
                for line in ["fish", "", "grün"] {
                    lines.send(line).await.unwrap();
                    assert_eq!(lines.next().await.unwrap().unwrap(), line.to_uppercase());
                }
                SinkExt::<&str>::close(&mut lines).await.unwrap();
                assert!(lines.next().await.is_none());
                echo.await.unwrap();
            });
        }
    }

    fn a_line_cut_by_the_end_is_the_last_one(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            client.write_all(b"one\r\ntw").await.unwrap();
            client.write_all(b"o\nthree").await.unwrap();
            client.end().await.unwrap();
            let lines = FramedRead::new(server, LinesCodec::new());
            let lines: Vec<String> = lines.map(Result::unwrap).collect().await;
            assert_eq!(lines, ["one", "two", "three"]);
        });
    }

    fn a_line_above_the_limit_is_an_error(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            client.write_all(&[b'x'; 101]).await.unwrap();
            let mut lines = FramedRead::new(server, LinesCodec::new_with_max_length(100));
            let error = lines.next().await.unwrap().unwrap_err();
            assert!(matches!(error, LinesCodecError::MaxLineLengthExceeded), "{error}");
        });
    }

    fn frames_of_any_length_arrive_complete(net) {
        for endpoint in net.endpoints() {
            net.block_on(async {
                let lengths = [0, 1, 2, 1000, 65_535, 65_536, 65_537, 1 << 20, 3];
                let (client, server) = streams(endpoint).await;
                let bytes = Bytes::from(pattern(1 << 20));
                let (_, writer) = client.split();
                let sent = bytes.clone();
                let sending = spawn_local(async move {
                    let mut frames = FramedWrite::new(writer, LengthDelimitedCodec::new());
                    for length in lengths {
                        frames.feed(sent.slice(..length)).await.unwrap();
                    }
                    SinkExt::<Bytes>::close(&mut frames).await.unwrap();
                }).unwrap();
                let (reader, _writer) = server.split();
                let mut frames = FramedRead::new(reader, LengthDelimitedCodec::new());
                for length in lengths {
                    let frame = frames.next().await.unwrap().unwrap();
                    assert!(
                        frame == bytes[..length],
                        "expected {length} bytes; a wrong frame of {} bytes",
                        frame.len()
                    );
                }
                assert!(frames.next().await.is_none());
                sending.await.unwrap();
            });
        }
    }

    fn a_frame_cut_by_the_end_is_an_error(net) {
        net.block_on(async {
            let (mut client, server) = streams(net.tcp()).await;
            client.write_all(b"\0\0\0\x05fis").await.unwrap();
            client.end().await.unwrap();
            let mut frames = FramedRead::new(server, LengthDelimitedCodec::new());
            frames.next().await.unwrap().unwrap_err();
            assert!(frames.next().await.is_none());
        });
    }
}
