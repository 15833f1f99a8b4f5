//! The examples that end by themselves do what they say: they check it, and are run here.

#[path = "../examples/background_job.rs"]
mod background_job;
#[cfg(feature = "http")]
#[path = "../examples/tonic.rs"]
mod tonic_service;

#[test]
fn no_message_is_handled_twice() {
    background_job::main().expect("it ends well");
}

#[cfg(feature = "http")]
#[test]
fn a_grpc_client_that_retries_is_charged_once() {
    tonic_service::main().expect("it ends well");
}
