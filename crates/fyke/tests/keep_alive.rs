//! Keep-alive probes of an idle connection, read back from the system.

mod support;

use std::time::Duration;

use fyke::{
    BoundSocket, ConnectOptions, Error, ErrorCode, KeepAliveProbes, ServerOptions, Socket,
    SocketOptions, timer,
};
use support::options::{MS, SECOND, look, look_accepted, probes};

on_every_driver! {
    fn tmo_13_an_idle_connection_with_keep_alive_probes_stays_open(net) {
        net.run(|| net.pair(
            net.tcp(),
            |socket| { socket.set_keep_alive(true, 50 * MS).unwrap(); socket.resume(); },
            |client| _ = client.resume().on_connect(|client| {
                client.set_keep_alive(true, 50 * MS).unwrap();
                client.on_error(|_, error| panic!("{error}"));
                let client = client.clone();
                timer::set_timeout(100 * MS, move || {
                    assert!(!client.is_destroyed() && client.is_readable());
                    client.end();
                }).unwrap();
            }),
        ));
    }

    fn tmo_13_tmo_15_keep_alive_is_set_in_the_system(net) {
        net.run(|| look(net, net.tcp(), &Socket::new(), |client| {
            assert_eq!(client.keep_alive(), None);
            client.set_keep_alive(true, 999 * MS).unwrap();
            let system = client.keep_alive().unwrap();
            assert!(system.initial_delay > SECOND, "the system's own: {system:?}");
            client.set_keep_alive(true, 6999 * MS).unwrap();
            assert_eq!(client.keep_alive(), Some(probes(6, 1, 10)));
            client.set_keep_alive(true, Duration::ZERO).unwrap();
            assert_eq!(client.keep_alive(), Some(probes(6, 1, 10)), "an earlier call's stay");
            client.set_keep_alive(false, Duration::ZERO).unwrap();
            assert_eq!(client.keep_alive(), None);
            client.set_keep_alive(true, Duration::ZERO).unwrap();
            assert_eq!(client.keep_alive(), Some(probes(6, 1, 10)), "turning off leaves the rest");
        }));
    }

    fn tmo_13_keep_alive_set_before_the_connection_is_active_in_connect(net) {
        net.run(|| {
            let fresh = Socket::new();
            fresh.set_keep_alive(true, 7500 * MS).unwrap();
            assert_eq!(fresh.keep_alive(), Some(probes(7, 1, 10)));
            look(net, net.tcp(), &fresh, |client| {
                assert_eq!(client.keep_alive(), Some(probes(7, 1, 10)));
            });
            let changed = SocketOptions::new().keep_alive(SECOND).build();
            changed.set_keep_alive(false, SECOND).unwrap();
            look(net, net.tcp(), &changed, |client| assert_eq!(client.keep_alive(), None));
        });
    }

    fn tmo_14_the_keep_alive_option_of_connect_is_truncated_to_whole_seconds(net) {
        net.run(|| {
            for (asked, seconds) in [(456_123 * MS, 456), (32_767_999 * MS, 32_767)] {
                let client = SocketOptions::new().keep_alive(asked).build();
                look(net, net.tcp(), &client, move |client| {
                    assert_eq!(client.keep_alive(), Some(probes(seconds, 1, 10)));
                });
            }
            let client = SocketOptions::new().keep_alive(123 * MS).build();
            look(net, net.tcp(), &client, |client| {
                let system = client.keep_alive().unwrap();
                assert!(system.initial_delay > SECOND, "the system's own: {system:?}");
            });
            look(net, net.tcp(), &SocketOptions::new().build(), |client| {
                assert_eq!(client.keep_alive(), None);
            });
        });
    }

    fn tmo_14_tmo_16_tmo_17_a_delay_in_options_that_the_system_refuses_fails_the_call_that_uses_them(net) {
        net.run(|| {
            let delay = SECOND * 32_768;
            let refused = |result: Result<(), Error>| {
                assert_eq!(result.unwrap_err().code(), ErrorCode::ERR_OUT_OF_RANGE);
            };
            let options = || ConnectOptions::new(net.tcp()).keep_alive(delay);
            refused(options().connect().map(drop));
            let fresh = SocketOptions::new().keep_alive(delay).build();
            refused(fresh.connect(net.tcp()));
            assert!(!fresh.is_connecting() && !fresh.is_destroyed());
            refused(Socket::new().connect_with(options()));
            let server = ServerOptions::new().keep_alive(delay).create_server(|_| {});
            refused(server.listen(net.tcp()));
            let bound = BoundSocket::bind(net.tcp()).unwrap();
            refused(server.listen_bound(bound).map_err(Error::from));
            assert!(!server.is_listening());

            // A valid value replaces the other one.
            fresh.set_keep_alive(true, 5 * SECOND).unwrap();
            look(net, net.tcp(), &fresh, |client| {
                assert_eq!(client.keep_alive(), Some(probes(5, 1, 10)));
            });
        });
    }

    fn tmo_16_srv_21_the_servers_keep_alive_is_set_before_connection(net) {
        look_accepted(net, ServerOptions::new().keep_alive(7500 * MS), |socket| {
            assert_eq!(socket.keep_alive(), Some(probes(7, 1, 10)));
            for seconds in [7, 2, 3] {
                socket.set_keep_alive(true, SECOND * seconds).unwrap();
                assert_eq!(socket.keep_alive(), Some(probes(seconds.into(), 1, 10)));
            }
        });
        look_accepted(net, ServerOptions::new(), |socket| assert_eq!(socket.keep_alive(), None));
    }

    fn tmo_17_interval_and_count_are_nodes_unless_they_are_set(net) {
        let fresh = Socket::new();
        fresh.set_keep_alive_probes(probes(8, 4, 5)).unwrap();
        net.run(|| look(net, net.tcp(), &fresh, |client| {
            assert_eq!(client.keep_alive(), Some(probes(8, 4, 5)), "remembered before connect");
            client.set_keep_alive_probes(probes(6, 3, 4)).unwrap();
            assert_eq!(client.keep_alive(), Some(probes(6, 3, 4)));
            for changed in [probes(7, 3, 4), probes(7, 2, 4), probes(7, 2, 3)] {
                client.set_keep_alive_probes(changed).unwrap();
                assert_eq!(client.keep_alive(), Some(changed));
            }
            client.set_keep_alive_probes(KeepAliveProbes::new(SECOND)).unwrap();
            assert_eq!(client.keep_alive(), Some(probes(1, 1, 10)));
        }));
    }

    fn tmo_17_values_that_the_system_refuses_fail_and_change_nothing(net) {
        let refused = |socket: &Socket| {
            let before = socket.keep_alive();
            for values in [
                probes(9, 0, 4),
                probes(9, 3, 0),
                probes(9, 3, 128),
                probes(9, 32_768, 4),
                probes(32_768, 3, 4),
                probes(9, 3, 4).interval(999 * MS),
            ] {
                let code = socket.set_keep_alive_probes(values).unwrap_err().code();
                assert_eq!((code, socket.keep_alive()), (ErrorCode::ERR_OUT_OF_RANGE, before));
            }
            assert!(socket.set_keep_alive(true, SECOND * 32_768).is_err());
            let edge = probes(32_767, 32_767, 127);
            socket.set_keep_alive_probes(edge).unwrap();
            assert_eq!(socket.keep_alive(), Some(edge));
        };
        let fresh = Socket::new();
        refused(&fresh);
        net.run(|| look(net, net.tcp(), &fresh, move |client| {
            client.set_keep_alive_probes(probes(6, 3, 4)).unwrap();
            refused(client);
        }));
    }
}
