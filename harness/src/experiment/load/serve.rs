//! `harness load`: clients in a process of their own. Orders come in, a line each; what came of each
//! operation goes out, a line each.

use std::{
    io::{self, Write as _},
    thread,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use super::{Completed, Order, generator::Generator, order};

/// Serves until it is told to stop, or nobody tells anything any more.
pub async fn serve() -> Result<()> {
    let (teller, mut orders) = unbounded_channel();
    // Reading blocks, for ever if nobody writes: nobody waits for this thread.
    let reader = thread::Builder::new().name("orders".to_owned()).spawn(move || read(&teller));
    reader.context("cannot start the reader of orders")?;
    let beginning = match orders.recv().await.transpose()? {
        Some(Order::Begin(beginning)) => beginning,
        Some(_) => bail!("clients begin before they do anything else"),
        None => return Ok(()),
    };
    let (teller, completions) = unbounded_channel();
    let generator = Generator::start(beginning, teller)?;
    let writer = spawn_blocking(move || write(completions));
    loop {
        match orders.recv().await.transpose()? {
            None | Some(Order::Stop) => break,
            Some(order) => generator.tell(order),
        }
    }
    // It lets go of its end of the completions, which end with the last operation.
    drop(generator);
    writer.await.context("the history's writer got lost")?
}

/// Reads orders until there are no more, or one makes no sense.
fn read(teller: &UnboundedSender<Result<Order>>) {
    for line in io::stdin().lines() {
        let read = line.context("the orders cannot be read").and_then(|line| order(&line));
        let is_last = read.is_err();
        if teller.send(read).is_err() || is_last {
            return;
        }
    }
}

/// Writes what came of each operation. Those that have ended meanwhile are written together.
fn write(mut completions: UnboundedReceiver<Completed>) -> Result<()> {
    let mut output = io::stdout().lock();
    let mut text = Vec::new();
    while let Some(completed) = completions.blocking_recv() {
        let mut next = Some(completed);
        while let Some(completed) = next {
            serde_json::to_writer(&mut text, &completed).context("operations are plain data")?;
            text.push(b'\n');
            next = completions.try_recv().ok();
        }
        let written = output.write_all(&text).and_then(|()| output.flush());
        written.context("nobody hears what came of the operations")?;
        text.clear();
    }
    Ok(())
}
