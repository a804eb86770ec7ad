//! The tests that do not apply to the readiness driver of Windows, or to its TCP sockets only, each with the reason.
//! Every other test runs there unchanged, with named pipes in place of Unix sockets.

/// Why a test differs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Difference {
    /// It applies to TCP, but not to named pipes.
    OnlyTcp(&'static str),
    NotHere(&'static str),
}

use Difference::{NotHere, OnlyTcp};

/// Returns the difference of a test. `module` is that of the test, which begins with the name of its file.
pub(crate) fn of(module: &str, name: &str) -> Option<Difference> {
    let file = module.split("::").next().unwrap_or(module);
    let found = LIST.iter().find(|(places, _)| places.contains(&(file, name)));
    let (_, difference) = found.filter(|_| cfg!(windows))?;
    eprintln!("{file}::{name}: {difference:?}");
    Some(*difference)
}

const LIST: &[(&[(&str, &str)], Difference)] = &[
    (
        &[
            ("ending", "end_11_a_half_open_socket_writes_after_the_peers_end"),
            ("shutdown", "an_answer_that_is_due_later_is_not_lost"),
            ("streams", "the_end_of_the_peer_leaves_our_side_open"),
            ("streams_dropped", "futures_dropped_at_every_poll_lose_no_byte_and_no_descriptor"),
            ("write_callbacks", "wr_08_the_callback_of_the_last_write_runs_before_the_end"),
        ],
        OnlyTcp(
            "a named pipe has no half-close: it is closed when our side has ended and the peer is silent",
        ),
    ),
    (
        &[
            (
                "bound_socket",
                "bnd_06_an_unused_bound_socket_frees_its_address_when_closed_or_dropped",
            ),
            ("bound_socket", "bnd_12_a_bound_socket_refuses_connections_until_it_listens"),
        ],
        OnlyTcp("a named pipe accepts a client from the moment when it exists"),
    ),
    (
        &[("conversation", "ipc_09_the_conversation_over_an_abstract_name")],
        NotHere("abstract names exist on Linux only"),
    ),
    (
        &[
            (
                "bound_socket_clients",
                "bnd_10_a_client_bound_to_a_path_reports_it_and_its_peer_does_not",
            ),
            ("ipc", "ipc_02_the_address_of_a_server_is_the_path_as_it_was_given"),
            ("ipc", "ipc_10_a_path_may_have_the_maximum_length"),
            ("ipc", "ipc_10_a_path_with_one_byte_more_fails_to_listen_and_is_not_truncated"),
            (
                "ipc",
                "ipc_10_connecting_to_a_path_with_one_byte_more_fails_on_the_tick_after_its_attempt",
            ),
            (
                "connecting",
                "con_08_a_refusal_by_the_system_is_emitted_after_the_call_and_not_returned",
            ),
        ],
        NotHere(
            "paths of Unix sockets and their limits; named pipes are tested in `named_pipes.rs`",
        ),
    ),
    (
        &[("ipc", "con_04_a_path_whose_server_closes_in_the_turn_of_the_connect_does_not_exist")],
        NotHere("the client of a named pipe is connected inside of the call"),
    ),
    (
        &[
            ("bound_socket", "bnd_04_of_two_sockets_on_one_port_the_first_to_listen_wins"),
            ("processes", "proc_13_a_port_belongs_to_one_server_unless_all_share_it"),
            ("server", "srv_19_srv_20_two_servers_share_a_port_only_when_both_set_the_option"),
        ],
        NotHere("two sockets cannot be bound to one port: Windows has no SO_REUSEPORT"),
    ),
    (
        &[
            ("kernel_option_calls", "setting_an_unchanged_user_timeout_makes_no_system_call"),
            (
                "kernel_option_calls",
                "tmo_18_setting_an_unchanged_type_of_service_makes_no_system_call",
            ),
            ("kernel_options", "tmo_11_tmo_19_options_set_while_connecting_are_remembered_too"),
            ("kernel_options", "tmo_18_a_mapped_peer_of_a_dual_stack_server_has_a_type_of_service"),
            ("kernel_options", "tmo_18_type_of_service_over_ipv4_and_ipv6"),
        ],
        NotHere("the type of service and the user timeout are not supported"),
    ),
    (
        &[(
            "kernel_option_calls",
            "tmo_12_tmo_16_an_option_inherited_from_the_listener_is_not_set_again",
        )],
        NotHere("only Linux copies the options of a listener"),
    ),
    (
        &[
            ("keep_alive", "tmo_13_keep_alive_set_before_the_connection_is_active_in_connect"),
            ("keep_alive", "tmo_13_tmo_15_keep_alive_is_set_in_the_system"),
            ("keep_alive", "tmo_14_the_keep_alive_option_of_connect_is_truncated_to_whole_seconds"),
            (
                "keep_alive",
                "tmo_14_tmo_16_tmo_17_a_delay_in_options_that_the_system_refuses_fails_the_call_that_uses_them",
            ),
            ("keep_alive", "tmo_16_srv_21_the_servers_keep_alive_is_set_before_connection"),
            ("keep_alive", "tmo_17_interval_and_count_are_nodes_unless_they_are_set"),
            ("keep_alive", "tmo_17_values_that_the_system_refuses_fail_and_change_nothing"),
            (
                "kernel_options",
                "srv_21_options_inherited_from_the_listener_can_be_changed_on_each_connection",
            ),
        ],
        NotHere("Wine 8 sets the times of keep-alive, and cannot read them"),
    ),
    (
        &[("lookup", "he_05_the_family_and_the_hints_are_passed_to_the_system")],
        NotHere("Wine 8 finds no mapped addresses"),
    ),
    (
        &[("server_addresses", "srv_11_a_link_local_address_needs_a_zone")],
        NotHere("Wine 8 returns the error of Linux"),
    ),
    (
        &[("pipeline", "str_07_a_source_that_fails_destroys_the_destination_with_its_error")],
        NotHere("Wine 8 returns the end of the stream for a reset that mio has not reported yet"),
    ),
    (
        &[("kernel_options", "sizes_of_buffers_are_set_before_connecting_and_on_a_connection")],
        OnlyTcp("the buffers of a named pipe have a fixed size"),
    ),
    (
        &[("node_exact", "con_19_a_path_whose_server_closes_in_the_turn_of_the_connect_resets_it")],
        NotHere(
            "the client of a named pipe is connected inside of the call, and its end is no reset",
        ),
    ),
    (
        &[(
            "server_closing",
            "cls_09_connections_in_the_kernels_queue_are_reset_and_do_not_delay_close",
        )],
        NotHere("Wine 8 shows a reset to a blocking read as the end of the stream"),
    ),
];
