#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| serf_fuzz::metrics_text(data));
