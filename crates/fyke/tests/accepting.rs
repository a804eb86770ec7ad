//! Servers whose connections tasks take: `accept`, `incoming`, `listening`.

mod support;

use std::time::Duration;

use fyke::{ErrorCode, Server, Socket, spawn_local, timer};
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
}
