//! Verdicts on recorded histories: linearizability, log agreement, no lost acknowledgements, exactly-once
