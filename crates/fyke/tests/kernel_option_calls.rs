//! The number of system calls that set an option, as the driver logs them. This needs the feature
//! `tracing`.
#![cfg(feature = "tracing")]

mod support;

use fyke::{ServerOptions, Socket, SocketOptions};
use support::options::{MS, SECOND, look, look_accepted, probes};
use support::{Net, steps};

fn calls(net: &Net, looker: impl FnOnce(&Socket) + 'static) -> Vec<String> {
    steps::named("setsockopt", || net.run(|| look(net, net.tcp(), &Socket::new(), looker)))
}

on_every_driver! {
    fn tmo_10_setting_an_unchanged_value_makes_no_system_call(net) {
        let made = calls(net, |client| for _ in 0..5 { client.set_no_delay(true).unwrap(); });
        assert_eq!(made, ["option=NoDelay(true)"]);
        let made = calls(net, |client| client.set_no_delay(false).unwrap());
        assert!(made.is_empty());
        let made = calls(net, |client| for on in [true, true, false, false, true, true] {
            client.set_no_delay(on).unwrap();
        });
        assert_eq!(made.len(), 3);
    }

    fn tmo_11_tmo_14_options_that_are_off_make_no_system_call_and_others_one(net) {
        let count = |options: SocketOptions| {
            let client = options.build();
            steps::named("setsockopt", || net.run(|| look(net, net.tcp(), &client, |_| {}))).len()
        };
        assert_eq!(count(SocketOptions::new().no_delay(false)), 0);
        assert_eq!(count(SocketOptions::new().no_delay(true)), 1);
        assert_eq!(count(SocketOptions::new().keep_alive(123 * MS)), 1);
    }

    fn tmo_12_tmo_16_an_option_inherited_from_the_listener_is_not_set_again(net) {
        let made = steps::named("setsockopt", || {
            let options = ServerOptions::new().no_delay(true).keep_alive(SECOND);
            look_accepted(net, options, |socket| {
                socket.set_no_delay(true).unwrap();
                for seconds in [1, 2, 3] {
                    socket.set_keep_alive(true, SECOND * seconds).unwrap();
                }
            });
        });
        let delays = made.iter().filter(|call| call.contains("KeepAlive")).count();
        assert_eq!((made.len(), delays), (4, 3), "{made:?}");
    }

    fn tmo_13_tmo_17_keep_alive_that_makes_no_difference_makes_no_system_call(net) {
        let made = calls(net, |client| {
            client.set_keep_alive(false, SECOND).unwrap();
            client.set_keep_alive(true, SECOND).unwrap();
            client.set_keep_alive(true, 1999 * MS).unwrap();
            client.set_keep_alive_probes(probes(1, 1, 10)).unwrap();
            client.set_keep_alive_probes(probes(1, 2, 10)).unwrap();
            client.set_keep_alive(false, SECOND).unwrap();
            client.set_keep_alive(false, 2 * SECOND).unwrap();
        });
        assert_eq!(made.len(), 3, "on, another interval, off: {made:?}");
    }

    fn tmo_18_setting_an_unchanged_type_of_service_makes_no_system_call(net) {
        let made = calls(net, |client| for value in [8, 8, 16, 16] {
            client.set_type_of_service(value).unwrap();
        });
        assert_eq!(made, ["option=TypeOfService(8)", "option=TypeOfService(16)"]);
    }

    fn setting_an_unchanged_user_timeout_makes_no_system_call(net) {
        let made = calls(net, |client| for milliseconds in [0, 5, 5, 0, 0] {
            client.set_user_timeout(Some(MS * milliseconds)).unwrap();
        });
        assert_eq!(made, ["option=UserTimeout(Some(5ms))", "option=UserTimeout(None)"]);
    }
}
