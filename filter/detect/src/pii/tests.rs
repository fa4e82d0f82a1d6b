use proptest::prelude::*;

use super::*;

fn found(text: &str) -> Vec<(Entity, &str)> {
    let mut found = Vec::new();
    scan(
        &Tape::whole(text.as_bytes()),
        &mut Stopped::default(),
        |entity, range| {
            found.push((entity, text.get(range).unwrap_or("?")));
        },
    );
    found
}

#[track_caller]
fn check(text: &str, entity: Entity, want: &str) {
    assert_eq!(found(text), [(entity, want)], "{text}");
}

#[track_caller]
fn nothing(text: &str) {
    assert_eq!(found(text), [], "{text}");
}

#[test]
fn every_example_is_found() {
    for entity in Entity::ALL {
        let text = entity.example();
        let told = found(text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert_eq!(told[0].0, *entity, "{text}");
        assert_eq!(Entity::by_name(entity.name()), Some(*entity));
    }
}

#[test]
fn cards_are_found_as_people_write_them() {
    check("pay 4242424242424242 now", Entity::Card, "4242424242424242");
    check(
        "4242424242424242 12/27 123",
        Entity::Card,
        "4242424242424242",
    );
    check("17 4242424242424242 09", Entity::Card, "4242424242424242");
    check("4111-1111-1111-1111", Entity::Card, "4111-1111-1111-1111");
    check("amex 3782 822463 10005", Entity::Card, "3782 822463 10005");
    check("5555555555554444,12/27", Entity::Card, "5555555555554444");
    check(
        "2223 0031 2200 3222 12/27 123",
        Entity::Card,
        "2223 0031 2200 3222",
    );
    check("card: 30569309025904", Entity::Card, "30569309025904");
    check(
        "\"number\":\"6011111111111117\"",
        Entity::Card,
        "6011111111111117",
    );
    check("3530111333300000", Entity::Card, "3530111333300000");
    check("line\\n4012888888881881", Entity::Card, "4012888888881881");
}

#[test]
fn cards_beside_each_other_are_all_found() {
    let told = found("4111111111111111 5555555555554444\n4242424242424242");
    assert_eq!(told.len(), 3);
}

#[test]
fn other_long_numbers_are_no_cards() {
    nothing("4111111111111112");
    nothing("id 4111111111111111x");
    nothing("0.4111111111111111");
    nothing("a_4111111111111111");
    nothing("1700000000000");
    nothing("18446744073709551615 9223372036854775807 4611686018427387904");
    nothing("1111 4111 1111 1111 1111 1111");
    nothing("4000000000000000");
    nothing("f(5503284107318959, 446)");
    nothing("435, 5503284107318959, 446");
    check(
        "Jane Roe, 4111111111111111, 123",
        Entity::Card,
        "4111111111111111",
    );
    check(
        "[\"4111111111111111\", 1]",
        Entity::Card,
        "4111111111111111",
    );
    nothing("550e8400-e29b-41d4-a716-446655440000");
}

#[test]
fn phones_are_found_with_a_plan_or_a_word() {
    check("Call +44 20 7946 0958.", Entity::Phone, "+44 20 7946 0958");
    check("+49 (0)30 901820", Entity::Phone, "+49 (0)30 901820");
    check("+1 (415) 555-2671", Entity::Phone, "+1 (415) 555-2671");
    check("+14155552671", Entity::Phone, "+14155552671");
    check("(212) 736-5000", Entity::Phone, "(212) 736-5000");
    check("1-800-275-2273", Entity::Phone, "1-800-275-2273");
    check("415.555.2671", Entity::Phone, "415.555.2671");
    check("tel 415 555 2671", Entity::Phone, "415 555 2671");
    check("mobile: 07700 900123", Entity::Phone, "07700 900123");
    check("phone=4155552671", Entity::Phone, "4155552671");
    check("+33 6 12 34 56 78", Entity::Phone, "+33 6 12 34 56 78");
    check("+91 98765 43210", Entity::Phone, "+91 98765 43210");
}

#[test]
fn other_numbers_are_no_phones() {
    nothing("2024-11-21 10:15:00");
    nothing("1700000000");
    nothing("a +1234567 b");
    nothing("911-555-2671");
    nothing("415-911-2671");
    nothing("x = y +12025550123456789");
    nothing("415 555 2671");
    nothing("f(415) 555");
    nothing("01 02 03 04 05");
    nothing("+999 123456789");
    nothing("DFAR 252.227-7015");
    nothing("call 1a 04 31 32 33 34 ff");
    nothing("text 0.123456789");
    check("415 555-2671", Entity::Phone, "415 555-2671");
}

#[test]
fn national_numbers_need_their_check_digits() {
    nothing("DE89 3704 0044 0532 0130 01");
    nothing("12345678A");
    nothing("RSSMRA85T10A562T");
    nothing("529.982.247-26");
    nothing("11.222.333/0001-82");
    nothing("666-12-3456");
    nothing("000-12-3456");
    nothing("GB 12 34 56 C");
    nothing("tfn 123 456 789");
    nothing("nhs 943 476 5918");
    check(
        "GB29 NWBK 6016 1331 9268 19",
        Entity::Iban,
        "GB29 NWBK 6016 1331 9268 19",
    );
    check(
        "FR1420041010050500013M02606",
        Entity::Iban,
        "FR1420041010050500013M02606",
    );
    check("ssn=536228145", Entity::UsSocialSecurity, "536228145");
    check("X1234567L", Entity::EsIdentity, "X1234567L");
    check("ni: AB123456C", Entity::UkInsurance, "AB123456C");
    check("cpf 52998224725 3", Entity::BrCpf, "52998224725");
}

#[test]
fn addresses_of_hosts_are_not_versions() {
    check(
        "from 198.51.100.23 port 22",
        Entity::IpAddress,
        "198.51.100.23",
    );
    check(
        "2001:db8::8a2e:370:7334",
        Entity::IpAddress,
        "2001:db8::8a2e:370:7334",
    );
    check(
        "http://[2001:db8:1::ab9:c0a8]:80/",
        Entity::IpAddress,
        "2001:db8:1::ab9:c0a8",
    );
    check("host 1.2.3.4", Entity::IpAddress, "1.2.3.4");
    check("10.20.30.40:8080", Entity::IpAddress, "10.20.30.40");
    nothing("127.0.0.1 0.0.0.0 255.255.255.0 ::1 224.0.0.1");
    nothing("version 10.2.30.4");
    nothing("v10.2.30.4 lib-10.2.30.4 pkg==10.2.30.4");
    nothing("1.2.3.4");
    nothing("1.2.3.4.5");
    nothing("std::f32::consts a::b2 12:30:45 aa:bb:cc:dd:ee:01");
}

#[test]
fn dates_of_birth_need_a_word() {
    check("DOB: 03/14/1985", Entity::DateOfBirth, "03/14/1985");
    check(
        "born on 14 March 1985 in",
        Entity::DateOfBirth,
        "14 March 1985",
    );
    check(
        "date of birth March 3rd, 1985",
        Entity::DateOfBirth,
        "March 3rd, 1985",
    );
    check(
        "\"birthDate\": \"1985-03-14\"",
        Entity::DateOfBirth,
        "1985-03-14",
    );
    check("geboren am 14.03.1985", Entity::DateOfBirth, "14.03.1985");
    nothing("released 1985-03-14");
    nothing("born 1985-23-14");
}

fn piece() -> impl Strategy<Value = String> {
    let examples: Vec<&'static str> = Entity::ALL.iter().map(|entity| entity.example()).collect();
    prop_oneof![
        3 => proptest::sample::select(examples).prop_map(str::to_owned),
        2 => "[a-zA-Z]{1,8}",
        2 => "[0-9]{1,12}",
        1 => "[ .,:/@+()\\-\n\\\\_]{1,3}",
        1 => "(phone|born|dob|ssn|nhs|tel|card|version) ",
        1 => "\\PC{1,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_open_text_never_tells_what_more_text_would_change(
        pieces in proptest::collection::vec(piece(), 1..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text = pieces.join(" ").into_bytes();
        let mut whole = Vec::new();
        scan(&Tape::whole(&text), &mut Stopped::default(), |entity, range| whole.push((entity, range)));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        ends.sort_unstable();
        let mut told = Vec::new();
        let mut stopped = Stopped::default();
        let mut before = 0;
        for end in ends {
            let resolved = scan(&Tape::open(&text[..end]), &mut stopped, |entity, range| told.push((entity, range)));
            prop_assert!(resolved <= end);
            prop_assert!(told.iter().all(|(_, range): &(Entity, Range<usize>)| range.end <= resolved));
            prop_assert!(told.iter().all(|(_, range)| range.start >= before || range.end <= before));
            before = resolved;
        }
        scan(&Tape::whole(&text), &mut stopped, |entity, range| told.push((entity, range)));
        prop_assert_eq!(told, whole);
    }
}
