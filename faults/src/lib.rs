//! Failure schedules, and the link shim that carries them out
