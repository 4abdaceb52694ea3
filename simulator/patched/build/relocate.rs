//! What a copied crate needs to become a module.

/// The source without the tests at its end: they hold for the right protocol alone.
pub fn without_tests(source: &str) -> &str {
    source.split_once("#[cfg(test)]\nmod tests {").map_or(source, |(source, _)| source)
}

/// The source without the documents that it includes: they are not copied.
pub fn without_documents(source: &str) -> String {
    let included = |line: &&str| line.starts_with("#![doc = include_str!(");
    source.split_inclusive('\n').filter(|line| !included(line)).collect()
}

/// The source of a crate's file as that of a module's: paths from the crate's root start at the
/// module instead.
pub fn relocate(source: &str, module: &str) -> String {
    let mut relocated = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("crate::") {
        let (before, path) = rest.split_at(at);
        let is_root = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        relocated.push_str(before);
        relocated.push_str("crate::");
        if is_root {
            relocated.push_str(module);
            relocated.push_str("::");
        }
        rest = &path["crate::".len()..];
    }
    relocated + rest
}
