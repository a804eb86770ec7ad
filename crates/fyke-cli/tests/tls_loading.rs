//! `--tls` of `load`.

#[path = "support/certificates.rs"]
mod certificates;
mod support;

use certificates::Authority;
use support::{Running, output};

fn results(arguments: &[&str]) -> serde_json::Value {
    let (code, text, errors) = output(arguments);
    assert_eq!(code, Some(0), "{text} {errors}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_built_in_server_speaks_tls_in_every_mode() {
    let load = ["load", "--tls", "--json", "--verify", "-c", "4"];
    for more in
        [&["-n", "100"][..], &["-n", "100", "--rate", "2k"], &["-n", "20", "--connect-rate", "200"]]
    {
        let results = results(&[&load, more].concat());
        assert_eq!(results["requests"], more[1].parse::<u64>().unwrap(), "{results}");
    }
}

#[test]
fn load_verifies_the_server_and_warns_once_with_insecure() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let files = ["--tls", "--echo", "--cert", certificate.as_str(), "--key", &key];
    let (_server, endpoint) = Running::listen(&files);
    let ca = authority.ca();
    let load = ["load", "--tls", "-n", "20", "-c", "4", endpoint.as_str()];
    let (code, ..) = output(&[&load[..], &["--ca", &ca, "--sni", "localhost"]].concat());
    assert_eq!(code, Some(0));
    let (code, _, errors) = output(&[&load[..], &["--ca", &ca]].concat());
    assert_eq!(code, Some(3));
    assert!(errors.contains("ERR_TLS_CERT_ALTNAME_INVALID"), "{errors}");
    let (code, _, errors) = output(&[&load[..], &["--insecure"]].concat());
    assert_eq!(code, Some(0));
    assert_eq!(errors.matches("is not verified on 4 connections").count(), 1, "{errors}");
}

#[test]
fn options_of_load_without_effect_are_usage_errors() {
    for (more, text) in [
        (&["--insecure"][..], "--insecure has no effect without --tls"),
        (&["--tls", "--insecure"], "--insecure has no effect without an ENDPOINT"),
        (&["--tls", "--alpn", "h2"], "--alpn has no effect without an ENDPOINT"),
        (&["127.0.0.1:1", "--tls", "--pin", "x"], "a fingerprint is the SHA-256"),
    ] {
        let (code, _, errors) = output(&[&["load", "-n", "1"], more].concat());
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains(text), "{text}: {errors}");
    }
}
