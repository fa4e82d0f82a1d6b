#![forbid(unsafe_code)]
pub mod json;
pub mod models;
pub mod refusal;

/// Cuts bytes at the given places, for laws about chunking.
#[cfg(test)]
fn cut<'a>(bytes: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.push(bytes.len());
    at.sort_unstable();
    let mut start = 0;
    at.into_iter()
        .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
        .collect()
}
