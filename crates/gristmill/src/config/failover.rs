//! What URLs of ActiveMQ's Java client have beyond an address: `failover:` around several of them, and
//! options behind a `?`.
//!
//! Neither is a URL in the sense of the standard, so both are taken apart here by hand. The options
//! are settings of the Java client, which mean nothing here. Their names are kept, to be told; their
//! values may be passwords (`jms.password`) and are not.
//!
//! What must never happen: a piece of a password taken for the name of an option.

/// What several addresses begin with.
pub(super) const SCHEME: &str = "failover";

/// What is said of a `failover:` where one address is expected.
pub(super) const INSIDE: &str = "is a failover:, but has to be one address; write failover:(URL,URL) \
                                 into `url`, and one in it only";

/// The longest name of an option; Java's client has none of half the length.
const OPTION_NAME_BYTES_MAX: usize = 64;

/// Several addresses.
pub(super) struct Failover<'a> {
    /// The URL of each, not looked into.
    pub(super) urls: Vec<&'a str>,
    /// The names of the options of all.
    pub(super) options: Vec<String>,
}

/// Takes `failover:(URL,URL)?OPTIONS` apart; `None` if the text is no such thing. The `//` before the
/// parenthesis may be there, and the parentheses may be absent: then what stands behind a `?` belongs
/// to the URL before it.
pub(super) fn split(written: &str) -> Result<Option<Failover<'_>>, String> {
    let Some((scheme, rest)) = written.trim().split_once(':') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Ok(None);
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("//").unwrap_or(rest).trim_start();
    let Some(inner) = rest.strip_prefix('(') else {
        return Ok(Some(Failover { urls: addresses(rest), options: Vec::new() }));
    };
    let Some((inner, outer)) = inner.split_once(')') else {
        return Err("has a `(` but no `)`; write failover:(URL,URL)".to_owned());
    };
    let options = match outer.trim().strip_prefix('?') {
        Some(query) => option_names(query)?,
        None if outer.trim().is_empty() => Vec::new(),
        None => {
            return Err(
                "has something behind its `)`; take it off, or, in the password, write %28 \
                        for `(` and %29 for `)`"
                    .to_owned(),
            );
        }
    };
    Ok(Some(Failover { urls: addresses(inner), options }))
}

fn addresses(list: &str) -> Vec<&str> {
    if list.trim().is_empty() { Vec::new() } else { list.split(',').map(str::trim).collect() }
}

/// The names of the options in `NAME=VALUE&NAME=VALUE`.
///
/// Whatever else stands there may be the end of a password with a `?` in it, which an `@` is too.
pub(super) fn option_names(query: &str) -> Result<Vec<String>, String> {
    let is_name = |name: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=OPTION_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed)
    };
    let name = |option: &str| {
        let name = option.split_once('=').map(|(name, _)| name).filter(is_name);
        name.map(str::to_owned)
    };
    let options = query.split('&').filter(|option| !option.is_empty());
    let names = options.map(name).collect::<Option<Vec<_>>>();
    names.filter(|_| !query.contains(['@', '#'])).ok_or_else(|| {
        "has something else than options NAME=VALUE, with `&` between them, behind its `?`; take it \
         off, or, in the password, write %3F for `?` (in a value, %40 for `@` and %23 for `#`)"
            .to_owned()
    })
}
