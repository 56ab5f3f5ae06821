//! A line between real processes that is slow, loses packets, is late, and comes and goes.
//!
//! It passes UDP packets on between callers and one target on loopback, each way as slowly as it is told. A packet that
//! finds the line's queue full is dropped, as a modem would. It reads nothing of what it carries.

#![expect(
    clippy::disallowed_methods,
    reason = "processes live in real time, and so does the line between them"
)]

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::Rng;

/// Bytes of IP and UDP around each packet, which pass the line too.
const AROUND: u64 = 28;
/// How often packets are looked for.
const TICK: Duration = Duration::from_millis(1);

/// What a line is like, each way.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes in a second; 0 for no bound.
    pub bytes_a_second: u64,
    /// Packets of a hundred that are lost.
    pub loss_percent: usize,
    /// Time from one end to the other.
    pub delay: Duration,
    /// Bytes that wait for the line before more are dropped.
    pub queue: u64,
    /// Whether it carries anything.
    pub up: bool,
}

impl Shape {
    /// A line that does nothing to what it carries.
    pub const GOOD: Self = Self {
        bytes_a_second: 0,
        loss_percent: 0,
        delay: Duration::ZERO,
        queue: 64 * 1024,
        up: true,
    };
}

#[derive(Debug)]
struct Shared {
    shape: Mutex<Shape>,
    sent: AtomicU64,
    ends: AtomicBool,
}

/// A line to a target. It ends when this is dropped.
#[derive(Debug)]
pub struct Line {
    /// Where callers find the target.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    carrying: Option<JoinHandle<()>>,
}

impl Line {
    /// Lays a good line.
    ///
    /// # Errors
    /// Loopback gives no socket.
    pub fn to(target: SocketAddr) -> Result<Self> {
        let front = socket()?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            shape: Mutex::new(Shape::GOOD),
            sent: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let carrying = std::thread::spawn(move || carry(&of_thread, &front, target));
        Ok(Self {
            address,
            shared,
            carrying: Some(carrying),
        })
    }

    /// Makes it so from now on.
    pub fn shape(&self, shape: Shape) {
        *self
            .shared
            .shape
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = shape;
    }

    /// Bytes of UDP payload that callers have sent towards the target, lost ones included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        drop(self.carrying.take().map(JoinHandle::join));
    }
}

fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// One direction: when the line is free again, and what is on its way.
#[derive(Debug, Default)]
struct Way {
    free: Option<Instant>,
    moving: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

impl Way {
    fn take(&mut self, shape: &Shape, rng: &mut Rng, caller: SocketAddr, packet: &[u8]) {
        if !shape.up || rng.chance(shape.loss_percent) {
            return;
        }
        let now = Instant::now();
        let begins = self.free.filter(|free| *free > now).unwrap_or(now);
        let mut there = begins;
        if shape.bytes_a_second > 0 {
            let waiting = (begins - now).as_secs_f64() * shape.bytes_a_second as f64;
            if waiting > shape.queue as f64 {
                return;
            }
            let bytes = packet.len() as u64 + AROUND;
            there += Duration::from_secs_f64(bytes as f64 / shape.bytes_a_second as f64);
            self.free = Some(there);
        }
        let moving = (there + shape.delay, caller, packet.to_vec());
        self.moving.push_back(moving);
    }

    fn due(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        let (at, _, _) = self.moving.front()?;
        if *at > now {
            return None;
        }
        self.moving
            .pop_front()
            .map(|(_, caller, packet)| (caller, packet))
    }
}

fn carry(shared: &Shared, front: &UdpSocket, target: SocketAddr) {
    let mut rng = Rng::new(7);
    let (mut there, mut back) = (Way::default(), Way::default());
    // One socket a caller, so that the target tells them apart.
    let mut behind: BTreeMap<SocketAddr, UdpSocket> = BTreeMap::new();
    let mut buffer = vec![0; 65_536];
    while !shared.ends.load(Ordering::Relaxed) {
        let shape = *shared.shape.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match front.recv_from(&mut buffer) {
                Ok((len, caller)) => {
                    shared.sent.fetch_add(len as u64, Ordering::Relaxed);
                    there.take(
                        &shape,
                        &mut rng,
                        caller,
                        buffer.get(..len).unwrap_or_default(),
                    );
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A caller that has gone away says so here.
                Err(_) => {}
            }
        }
        for (caller, socket) in &behind {
            while let Ok((len, _)) = socket.recv_from(&mut buffer) {
                back.take(
                    &shape,
                    &mut rng,
                    *caller,
                    buffer.get(..len).unwrap_or_default(),
                );
            }
        }
        let now = Instant::now();
        while let Some((caller, packet)) = there.due(now) {
            let socket = match behind.entry(caller) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => match socket() {
                    Ok(made) => new.insert(made),
                    Err(_) => continue,
                },
            };
            drop(socket.send_to(&packet, target));
        }
        while let Some((caller, packet)) = back.due(now) {
            drop(front.send_to(&packet, caller));
        }
        std::thread::sleep(TICK);
    }
}
