//! The difference between a run that failed and a request that made no sense.

/// A request that makes no sense, or a target that cannot be reached: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

/// An error that ends with exit status 2 and this one sentence.
pub fn usage(sentence: impl Into<String>) -> anyhow::Error {
    Usage(sentence.into()).into()
}

/// Whether an error is the caller's.
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Usage>())
}
