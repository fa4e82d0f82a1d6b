//! How an input says where it is to be cut.

/// Splits an input into its first byte, which says how to cut, and the bytes to be cut.
pub fn split(input: &[u8]) -> Option<(u8, &[u8])> {
    input
        .split_first()
        .map(|(cutting, bytes)| (*cutting, bytes))
}

/// Cuts `bytes` as `cutting` says: 0 cuts after each byte, others at places without a pattern.
pub fn cut(cutting: u8, bytes: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut left = bytes;
    let mut state = u64::from(cutting);
    while !left.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Short, long and empty chunks.
        let bound = [1, 2, 8, 64, 1_024]
            .get((state >> 33) as usize % 5)
            .copied()
            .unwrap_or(1);
        let length = if cutting == 0 {
            1
        } else {
            (state >> 40) as usize % (bound + 1)
        };
        let (chunk, rest) = left.split_at(length.min(left.len()));
        chunks.push(chunk);
        left = rest;
    }
    chunks
}
