//! iceoryx2 behind a C interface: a publisher and a subscriber of byte slices, and an event with which the one wakes the
//! other. What goes wrong ends the process with a message: the bench reports a side that died.

use std::ffi::{c_char, CStr};
use std::mem::MaybeUninit;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use iceoryx2::sample_mut_uninit::SampleMutUninit;

const BUFFERED_MESSAGES: usize = 256;

type Node = iceoryx2::node::Node<ipc::Service>;

fn text(name: *const c_char) -> String {
    set_log_level(LogLevel::Error); // else it warns that it has no configuration file
    unsafe { CStr::from_ptr(name) }.to_str().expect("a name in UTF-8").to_owned()
}

macro_rules! service {
    ($node:expr, $name:expr) => {
        $node
            .service_builder(&$name.as_str().try_into().expect("service name"))
            .publish_subscribe::<[u8]>()
            .enable_safe_overflow(false)
            .subscriber_max_buffer_size(BUFFERED_MESSAGES)
            .open_or_create()
            .expect("publish-subscribe service")
    };
}

macro_rules! event {
    ($node:expr, $name:expr) => {
        $node
            .service_builder(&format!("{}.event", $name).as_str().try_into().expect("event name"))
            .event()
            .open_or_create()
            .expect("event service")
    };
}

pub struct Outlet {
    loan: Option<SampleMutUninit<ipc::Service, [MaybeUninit<u8>], ()>>,
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    _node: Node,
}

#[no_mangle]
pub extern "C" fn ix2_outlet(name: *const c_char, message_bytes: usize, wakes: bool) -> *mut Outlet {
    let name = text(name);
    let node = NodeBuilder::new().create::<ipc::Service>().expect("node");
    let publisher = service!(node, name)
        .publisher_builder()
        .initial_max_slice_len(message_bytes)
        .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
        .create()
        .expect("publisher");
    let notifier = wakes.then(|| event!(node, name).notifier_builder().create().expect("notifier"));
    Box::into_raw(Box::new(Outlet { loan: None, publisher, notifier, _node: node }))
}

#[no_mangle]
pub extern "C" fn ix2_room(outlet: &mut Outlet, bytes: usize) -> *mut u8 {
    let sample = outlet.publisher.loan_slice_uninit(bytes).expect("loan");
    outlet.loan.insert(sample).payload_mut().as_mut_ptr().cast()
}

#[no_mangle]
pub extern "C" fn ix2_publish(outlet: &mut Outlet) {
    let sample = outlet.loan.take().expect("a loan");
    unsafe { sample.assume_init() }.send().expect("send");
    if let Some(notifier) = &outlet.notifier {
        notifier.notify().expect("notify");
    }
}

#[no_mangle]
pub extern "C" fn ix2_outlet_end(outlet: *mut Outlet) {
    drop(unsafe { Box::from_raw(outlet) });
}

pub struct Inlet {
    taken: Option<Sample<ipc::Service, [u8], ()>>,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    _node: Node,
}

#[no_mangle]
pub extern "C" fn ix2_inlet(name: *const c_char, sleeps: bool) -> *mut Inlet {
    let name = text(name);
    let node = NodeBuilder::new().create::<ipc::Service>().expect("node");
    let subscriber = service!(node, name).subscriber_builder().create().expect("subscriber");
    let listener = sleeps.then(|| event!(node, name).listener_builder().create().expect("listener"));
    Box::into_raw(Box::new(Inlet { taken: None, subscriber, listener, _node: node }))
}

/// Waits for a message; it stays until the next call.
#[no_mangle]
pub extern "C" fn ix2_take(inlet: &mut Inlet, bytes: &mut usize) -> *const u8 {
    inlet.taken = None;
    loop {
        if let Some(sample) = inlet.subscriber.receive().expect("receive") {
            let payload = inlet.taken.insert(sample).payload();
            *bytes = payload.len();
            return payload.as_ptr();
        }
        match &inlet.listener {
            Some(listener) => {
                listener.blocking_wait(|_| {}).expect("wait");
            }
            None => std::hint::spin_loop(),
        }
    }
}

#[no_mangle]
pub extern "C" fn ix2_inlet_end(inlet: *mut Inlet) {
    drop(unsafe { Box::from_raw(inlet) });
}
