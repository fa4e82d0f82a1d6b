//! Check digits.

/// Digits of `text`, everything else left out.
pub(super) fn digits(text: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| u32::from(byte - b'0'))
}

/// Luhn, ISO/IEC 7812-1 annex B.
pub(super) fn luhn(text: &[u8]) -> bool {
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Weighted sum of digits, first digit with the first weight.
pub(super) fn weighted(digits: impl Iterator<Item = u32>, weights: &[u32]) -> u32 {
    digits
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

/// ISO/IEC 7064 mod 97-10 over digits and letters; letters count from 10.
pub(super) fn mod_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        b'a'..=b'z' => (rest * 100 + u32::from(byte - b'a') + 10) % 97,
        _ => rest,
    })
}

/// ISO/IEC 7064 mod 11,10, the last digit being the check digit.
pub(super) fn mod_11_10(text: &[u8]) -> bool {
    let count = digits(text).count();
    let product = digits(text)
        .take(count.saturating_sub(1))
        .fold(10, |product, digit| {
            let sum = match (digit + product) % 10 {
                0 => 10,
                sum => sum,
            };
            sum * 2 % 11
        });
    let check = (11 - product) % 10;
    digits(text).next_back() == Some(check)
}

/// Multiplication in the dihedral group of order ten.
const VERHOEFF_PRODUCT: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];

/// The permutation that Verhoeff's scheme applies once more at each place.
const VERHOEFF_TURN: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

/// Verhoeff's scheme, the last digit being the check digit.
pub(super) fn verhoeff(text: &[u8]) -> bool {
    let mut sum = 0u8;
    for (place, digit) in digits(text).rev().enumerate() {
        let mut turned = u8::try_from(digit).unwrap_or(0);
        for _ in 0..place % 8 {
            turned = VERHOEFF_TURN.get(usize::from(turned)).copied().unwrap_or(0);
        }
        sum = VERHOEFF_PRODUCT
            .get(usize::from(sum))
            .and_then(|row| row.get(usize::from(turned)))
            .copied()
            .unwrap_or(0);
    }
    sum == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_numbers_check() {
        assert!(luhn(b"4111 1111 1111 1111"));
        assert!(!luhn(b"4111 1111 1111 1112"));
        assert!(verhoeff(b"2363"));
        assert!(!verhoeff(b"2364"));
        assert!(mod_11_10(b"86095742719"));
        assert!(!mod_11_10(b"86095742718"));
        assert_eq!(mod_97(b"3214282912345698765432161182".iter().copied()), 1);
    }
}
