//! Servers whose connections tasks take: `accept`, `incoming`, `listening`.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fyke::sim::SimOptions;
use fyke::{DriverKind, ErrorCode, Server, Socket, spawn_local, timer};
use support::Net;
use support::futures::listening;

on_every_driver! {
    fn connections_come_in_order_and_wait_for_their_task(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            // So that from now on connections wait.
            let _ = timer::timeout(Duration::ZERO, server.accept()).await;
            let endpoint = server.endpoint().unwrap();
            let clients: Vec<Socket> =
                (0..200).map(|_| fyke::connect(endpoint.clone()).unwrap()).collect();
            for client in &clients {
                client.connected().await.unwrap();
            }
            timer::sleep(Duration::from_millis(5)).unwrap().await;
            assert!(server.connections() < 200, "{} were taken from the kernel", server.connections());
            let mut sockets = Vec::new();
            for _ in 0..200 {
                sockets.push(server.accept().await.unwrap());
            }
            assert_eq!(server.connections(), 200);
            for client in clients {
                client.destroy();
            }
        });
    }

    fn several_tasks_accept_from_one_server(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let server = server.clone();
                    spawn_local(async move { server.accept().await.map(|_| ()) }).unwrap()
                })
                .collect();
            let endpoint = server.endpoint().unwrap();
            let _clients: Vec<Socket> =
                (0..4).map(|_| fyke::connect(endpoint.clone()).unwrap()).collect();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
        });
    }

    fn a_dropped_accept_loses_no_connection(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            while client.is_connecting() || server.connections() == 0 {
                let accept = server.accept();
                drop(accept);
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            server.accept().await.unwrap();
        });
    }

    fn connections_before_the_first_accept_wait_for_it(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            client.end_with("early");
            while server.connections() == 0 || client.bytes_written() == 0 {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            let mut stream = server.accept().await.unwrap().stream().unwrap();
            assert_eq!(stream.read_to_end().await.unwrap(), b"early");
        });
    }

    fn incoming_ends_when_the_server_is_closed(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let mut incoming = server.incoming();
            let closes = server.clone();
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            assert!(incoming.next().await.unwrap().is_ok());
            spawn_local(async move {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
                closes.close();
            }).unwrap();
            assert!(incoming.next().await.is_none());
            let error = server.accept().await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_SERVER_NOT_RUNNING);
            client.destroy();
        });
    }

    fn connections_that_nobody_took_are_closed_with_the_server(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let _ = timer::timeout(Duration::ZERO, server.accept()).await;
            let mut client = fyke::SocketStream::connect(server.endpoint().unwrap()).await.unwrap();
            while server.connections() == 0 {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            server.close();
            let error = client.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ECONNRESET);
        });
    }

    fn a_listener_for_connections_excludes_accept(net) {
        net.block_on(async {
            let server = fyke::create_server(|_| {});
            server.listen(net.tcp()).unwrap();
            let error = server.accept().await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_HAS_CONSUMER);
            server.close();
        });
    }

    fn an_address_in_use_is_the_error_of_listening_and_of_accept(net) {
        net.block_on(async {
            let first = listening(net.tcp()).await;
            let endpoint = first.endpoint().unwrap();
            let second = Server::new();
            second.listen(endpoint.clone()).unwrap();
            assert_eq!(second.listening().await.unwrap_err().code(), ErrorCode::EADDRINUSE);
            let third = Server::new();
            third.listen(endpoint).unwrap();
            assert_eq!(third.accept().await.unwrap_err().code(), ErrorCode::EADDRINUSE);
        });
    }

    fn accept_without_listen_is_an_error(net) {
        net.block_on(async {
            let error = Server::new().accept().await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_SERVER_NOT_RUNNING);
        });
    }

    fn a_server_may_listen_again_for_its_tasks(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let mut incoming = server.incoming();
            server.close();
            assert!(incoming.next().await.is_none());
            server.listen(net.tcp()).unwrap();
            server.listening().await.unwrap();
            let _client = fyke::connect(server.endpoint().unwrap()).unwrap();
            assert!(incoming.next().await.unwrap().is_ok());
        });
    }

    fn an_accepted_socket_reads_nothing_before_it_is_asked(net) {
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            let _ = client.write("hello");
            let socket = server.accept().await.unwrap();
            timer::sleep(Duration::from_millis(5)).unwrap().await;
            assert_eq!((socket.bytes_read(), socket.readable_flowing()), (0, None));
            let text = support::collect(&socket);
            while text.borrow().len() < 5 {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            assert_eq!(*text.borrow(), b"hello");
            client.destroy();
        });
    }

    fn connections_that_wait_at_a_shutdown_can_still_be_taken(net) {
        net.block_on(async {
            let (server, clients) = three_that_wait(net).await;
            server.shutdown(Duration::from_secs(1000)).unwrap();
            for client in clients {
                let mut stream = server.accept().await.unwrap().stream().unwrap();
                assert!(stream.socket().is_shutting_down());
                stream.write_all(b"bye").await.unwrap();
                drop(stream);
                client.closed().await.unwrap();
                assert_eq!(client.bytes_read(), 3);
            }
            let error = server.accept().await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ERR_SERVER_NOT_RUNNING);
            server.closed().await;
        });
    }

    fn connections_that_no_task_takes_are_reset_at_the_deadline_of_a_shutdown(net) {
        net.block_on(async {
            let (server, clients) = three_that_wait(net).await;
            server.shutdown(Duration::from_millis(1)).unwrap();
            server.closed().await;
            for client in clients {
                assert_eq!(client.closed().await.unwrap_err().code(), ErrorCode::ECONNRESET);
            }
        });
    }

    fn a_server_is_closed_when_its_last_connection_is_gone(net) {
        net.block_on(async {
            let server = Server::new();
            server.closed().await;
            server.listen(net.tcp()).unwrap();
            server.listening().await.unwrap();
            let closed = server.closed();
            let closed = spawn_local(closed).unwrap();
            let client = fyke::connect(server.endpoint().unwrap()).unwrap();
            let accepted = server.accept().await.unwrap();
            server.close();
            timer::sleep(Duration::from_millis(2)).unwrap().await;
            assert!(!closed.is_finished());
            accepted.destroy();
            closed.await.unwrap();
            assert_eq!(server.connections(), 0);
            client.destroy();
        });
    }

    fn a_request_that_arrives_with_a_shutdown_is_read_before_it(net) {
        // In the simulated network it is on its way for some time, and arrives later.
        let at_once = SimOptions { latency: Duration::ZERO, cut: false, ..SimOptions::default() };
        let at_once = net.is_sim().then(|| Net::new(DriverKind::Sim(at_once)));
        let net = at_once.as_ref().unwrap_or(net);
        net.block_on(async {
            let server = listening(net.tcp()).await;
            let serving = server.clone();
            let serving = spawn_local(async move {
                let (mut incoming, mut tasks) = (serving.incoming(), Vec::new());
                while let Some(socket) = incoming.next().await {
                    tasks.push(spawn_local(request_or_shutdown(socket.unwrap())).unwrap());
                }
                for task in tasks {
                    assert!(task.await.unwrap(), "the request is lost");
                }
            }).unwrap();
            let mut clients = Vec::new();
            for _ in 0..40 {
                let endpoint = server.endpoint().unwrap();
                clients.push(fyke::SocketStream::connect(endpoint).await.unwrap());
            }
            while server.connections() < 40 {
                timer::sleep(Duration::from_millis(1)).unwrap().await;
            }
            for client in &mut clients {
                client.write_all(b"request").await.unwrap();
            }
            server.shutdown(Duration::from_secs(1000)).unwrap();
            serving.await.unwrap();
            server.closed().await;
        });
    }
}

/// A server, and three of its connections that no task has taken yet.
async fn three_that_wait(net: &Net) -> (Server, Vec<Socket>) {
    let server = listening(net.tcp()).await;
    let _ = timer::timeout(Duration::ZERO, server.accept()).await;
    let endpoint = server.endpoint().unwrap();
    let clients: Vec<Socket> = (0..3).map(|_| fyke::connect(endpoint.clone()).unwrap()).collect();
    for client in &clients {
        client.resume();
        client.on_error(|_, _| {});
    }
    while server.connections() < 3 {
        timer::sleep(Duration::from_millis(1)).unwrap().await;
    }
    (server, clients)
}

/// Returns whether the connection has a request when its server shuts down.
async fn request_or_shutdown(socket: Socket) -> bool {
    let mut shutdown = pin!(socket.shutting_down());
    let mut stream = socket.stream().unwrap();
    let mut buffer = [0; 7];
    let mut read = pin!(stream.read_exact(&mut buffer));
    poll_fn(|cx| match read.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => shutdown.as_mut().poll(cx).map(|()| false),
    })
    .await
}
