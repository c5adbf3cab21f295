//! [`encoded`]: text as a part of an address (RFC 3986, the unreserved characters as they are).

/// A text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let one = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_unreserved_is_encoded() {
        assert_eq!(encoded("a-Z_0.~/ ü+="), "a-Z_0.~%2F%20%C3%BC%2B%3D");
    }
}
