//! Where one frame ends and the next begins.

use bytes::{Buf, Bytes, BytesMut};

use super::{DecodeError, SIZE_BYTES};
use crate::Limits;

/// Takes the next frame off `input`, without its size; `None` while it is not all there.
///
/// The frame is a slice of `input`, so that a small frame that is kept for long keeps the whole
/// block alive which it was read in.
///
/// # Errors
///
/// When the size is not positive or above the limit. Nothing after that can be understood.
pub fn next_frame(input: &mut BytesMut, limits: &Limits) -> Result<Option<Bytes>, DecodeError> {
    let Some(prefix) = input.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
    let prefix = i32::from_be_bytes(*prefix);
    let max = limits.frame_bytes_max;
    let size = usize::try_from(prefix).ok().filter(|size| (1..=max).contains(size));
    let size = size.ok_or(DecodeError::FrameSize { size: prefix, max })?;
    if input.len().saturating_sub(SIZE_BYTES) < size {
        return Ok(None);
    }
    input.advance(SIZE_BYTES);
    Ok(Some(input.split_to(size).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Bytes>, DecodeError> {
        next_frame(&mut BytesMut::from(bytes), &Limits { frame_bytes_max, ..Limits::default() })
    }

    #[test]
    fn a_frame_comes_when_it_is_complete() {
        assert_eq!(next(&[0, 0, 0], 9), Ok(None));
        assert_eq!(next(&[0, 0, 0, 2, 1], 9), Ok(None));
        let mut input = BytesMut::from(&[0, 0, 0, 2, 1, 2, 0, 0][..]);
        let frame = next_frame(&mut input, &Limits::default()).unwrap().unwrap();
        assert_eq!(&frame[..], [1, 2]);
        assert_eq!(&input[..], [0, 0]);
    }

    #[test]
    fn a_size_outside_the_limits_is_refused_before_the_bytes_are_there() {
        for size in [0, -1, i32::MIN, 10, i32::MAX] {
            let error = DecodeError::FrameSize { size, max: 9 };
            assert_eq!(next(&size.to_be_bytes(), 9), Err(error));
        }
        assert_eq!(next(&[0, 0, 0, 9], 9), Ok(None));
    }
}
