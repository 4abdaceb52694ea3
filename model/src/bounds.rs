//! How much may happen.

use std::fmt;

/// How many replicas there are, and how often what else than a delivery may happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bounds {
    /// The replicas.
    pub replicas: u64,
    /// Election timers that run out.
    pub timeouts: u8,
    /// Commands that clients propose, each to a replica that believes to lead.
    pub commands: u8,
    /// Crashes, each with a restart from what the disk kept.
    pub crashes: u8,
    /// Heartbeat timers that run out.
    pub heartbeats: u8,
    /// Messages that the network delivers and keeps, to deliver them again.
    pub repeats: u8,
}

impl Bounds {
    /// Three replicas, and nothing happens.
    pub const fn three() -> Self {
        Self { replicas: 3, timeouts: 0, commands: 0, crashes: 0, heartbeats: 0, repeats: 0 }
    }

    /// With so many election timeouts.
    pub const fn timeouts(self, timeouts: u8) -> Self {
        Self { timeouts, ..self }
    }

    /// With so many commands.
    pub const fn commands(self, commands: u8) -> Self {
        Self { commands, ..self }
    }

    /// With so many crashes.
    pub const fn crashes(self, crashes: u8) -> Self {
        Self { crashes, ..self }
    }

    /// With so many heartbeats.
    pub const fn heartbeats(self, heartbeats: u8) -> Self {
        Self { heartbeats, ..self }
    }

    /// With so many repeated messages.
    pub const fn repeats(self, repeats: u8) -> Self {
        Self { repeats, ..self }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.timeouts, "timeout"),
            (self.commands, "command"),
            (self.crashes, "crash"),
            (self.heartbeats, "heartbeat"),
            (self.repeats, "repeat"),
        ];
        let mut parts = parts.into_iter().filter(|&(count, _)| count > 0).map(|(count, what)| {
            let ending = match (count, what) {
                (1, _) => "",
                (_, "crash") => "es",
                _ => "s",
            };
            format!("{count} {what}{ending}")
        });
        f.write_str(&parts.next().unwrap_or_else(|| "nothing".into()))?;
        parts.try_for_each(|part| write!(f, " + {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_read_as_a_sum() {
        let bounds = Bounds::three().timeouts(1).crashes(2);
        assert_eq!(bounds.to_string(), "1 timeout + 2 crashes");
        assert_eq!(Bounds::three().to_string(), "nothing");
    }
}
