//! Conversions between integer widths that can't fail on the machines that we build for, or that
//! saturate where a later check catches the value.

pub(crate) fn usize_of(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(usize::MAX)
}

pub(crate) fn u64_of(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

pub(crate) fn u32_of(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(u32::MAX)
}

pub(crate) fn i64_of(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
