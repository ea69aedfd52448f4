//! What both sides can do: this side's offer, and what follows from it and the peer's.
//!
//! Nothing is on unless both sides have it on, so this side decides alone that encoding is loose,
//! without cache and stack traces, and that frames have a size. What is missing in the peer's offer
//! is off; what is unknown there is nothing to this side.

use std::time::Duration;

use crate::structures::{Magic, WireFormatInfo};
use crate::{DecodeError, EncodeError, Format, Limits, Opaque, PrimitiveMap, VERSION_MAX, Value};

const INACTIVITY: &str = "MaxInactivityDuration";
// The protocol spells it so.
const INITIAL_DELAY: &str = "MaxInactivityDurationInitalDelay";
const FRAME_SIZE: &str = "MaxFrameSize";

/// After what time the sides begin to count silence, in milliseconds, as in Java's client.
const INITIAL_DELAY_MS: i64 = 10_000;

/// What both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// How structures are encoded.
    pub format: Format,
    /// After what silence a side counts as gone; `None`: never.
    pub inactivity: Option<Duration>,
    /// After what time the sides begin to count silence. Until then a broker need not say anything.
    pub initial_delay: Duration,
    /// The longest frame that the peer takes, in bytes.
    pub frame_bytes_max: usize,
}

/// This side's offer, the first frame on a connection.
///
/// # Errors
///
/// Never, since it is the same but for two numbers.
pub(crate) fn offer(inactivity: Duration, limits: &Limits) -> Result<WireFormatInfo, EncodeError> {
    let millis = i64::try_from(inactivity.as_millis()).unwrap_or(i64::MAX);
    let frame_size = i64::try_from(limits.frame_bytes_max).unwrap_or(i64::MAX);
    // Brokers check the type of each value, and end the connection over a wrong one.
    let properties: PrimitiveMap = [
        ("TightEncodingEnabled", Value::Bool(false)),
        ("CacheEnabled", Value::Bool(false)),
        ("SizePrefixDisabled", Value::Bool(false)),
        ("StackTraceEnabled", Value::Bool(false)),
        ("TcpNoDelayEnabled", Value::Bool(true)),
        (INACTIVITY, Value::Long(millis)),
        (INITIAL_DELAY, Value::Long(millis.min(INITIAL_DELAY_MS))),
        (FRAME_SIZE, Value::Long(frame_size)),
    ]
    .into_iter()
    .collect();
    Ok(WireFormatInfo {
        magic: Magic,
        version: i32::from(VERSION_MAX),
        marshalled_properties: Some(Opaque(properties.encode()?)),
    })
}

/// What follows from the peer's offer; `None` if it is too old.
///
/// # Errors
///
/// When the offer's properties are no map.
pub(crate) fn agree(
    theirs: &WireFormatInfo,
    inactivity: Duration,
    limits: &Limits,
) -> Result<Option<Agreement>, DecodeError> {
    let properties = match &theirs.marshalled_properties {
        Some(Opaque(bytes)) => PrimitiveMap::decode(bytes.clone(), limits)?,
        None => PrimitiveMap::new(),
    };
    let number = |name| match properties.get(name) {
        Some(Value::Long(number)) => u64::try_from(*number).unwrap_or(0),
        Some(Value::Int(number)) => u64::try_from(*number).unwrap_or(0),
        Some(_) | None => 0,
    };
    let Some(version) = version(theirs.version) else { return Ok(None) };
    let inactivity = inactivity.min(Duration::from_millis(number(INACTIVITY)));
    let initial_delay = number(INITIAL_DELAY).min(INITIAL_DELAY_MS.unsigned_abs());
    let theirs = usize::try_from(number(FRAME_SIZE)).unwrap_or(usize::MAX);
    let frame_bytes_max = if theirs == 0 { usize::MAX } else { theirs };
    Ok(Some(Agreement {
        format: Format { version, stack_traces: false },
        inactivity: (!inactivity.is_zero()).then_some(inactivity),
        initial_delay: inactivity.min(Duration::from_millis(initial_delay)),
        frame_bytes_max: frame_bytes_max.min(limits.frame_bytes_max),
    }))
}

fn version(theirs: i32) -> Option<u8> {
    let common = theirs.min(i32::from(VERSION_MAX));
    u8::try_from(common).ok().filter(|version| *version >= crate::VERSION_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INACTIVE: Duration = Duration::from_secs(30);

    fn agreed(version: i32, properties: Option<PrimitiveMap>) -> Option<Agreement> {
        let marshalled_properties = properties.map(|map| Opaque(map.encode().unwrap()));
        let theirs = WireFormatInfo { magic: Magic, version, marshalled_properties };
        agree(&theirs, INACTIVE, &Limits::default()).unwrap()
    }

    #[test]
    fn the_offer_is_the_one_that_brokers_were_seen_to_take() {
        use bytes::BytesMut;
        let mut out = BytesMut::new();
        let offer = offer(INACTIVE, &Limits::default()).unwrap();
        let format = Format::default();
        crate::encode(&offer.into(), format, &Limits::default(), &mut out).unwrap();
        assert_eq!(out.len(), 228);
        assert_eq!(&out[..17], b"\0\0\0\xE0\x01ActiveMQ\0\0\0\x0C");
    }

    #[test]
    fn the_lower_version_counts_and_one_below_nine_is_too_old() {
        for (theirs, common) in
            [(13, Some(12)), (12, Some(12)), (9, Some(9)), (8, None), (-1, None)]
        {
            assert_eq!(agreed(theirs, None).map(|it| it.format.version), common);
        }
    }

    #[test]
    fn what_the_peer_does_not_offer_is_off() {
        let nothing = agreed(12, None).unwrap();
        assert_eq!(nothing.inactivity, None);
        assert_eq!(nothing.frame_bytes_max, Limits::default().frame_bytes_max);
        assert_eq!(agreed(12, Some(PrimitiveMap::new())), Some(nothing));
    }

    #[test]
    fn the_shorter_silence_and_the_smaller_frame_count() {
        let offer = |inactivity, frame: i64| {
            agreed(
                12,
                Some(
                    [(INACTIVITY, Value::Long(inactivity)), (FRAME_SIZE, frame.into())]
                        .into_iter()
                        .collect(),
                ),
            )
            .unwrap()
        };
        let agreement = offer(2_000, 1_000);
        assert_eq!(agreement.inactivity, Some(Duration::from_secs(2)));
        assert_eq!(agreement.frame_bytes_max, 1_000);
        let agreement = offer(60_000, i64::MAX);
        assert_eq!(agreement.inactivity, Some(INACTIVE));
        assert_eq!(agreement.frame_bytes_max, 100 << 20);
        assert_eq!(offer(-5, -5).inactivity, None);
    }
}
