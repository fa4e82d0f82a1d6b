#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weir_fuzz::stream_edit::run(input));
