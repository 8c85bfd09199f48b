"""How good an encoder is: frozen features, judged by probes that never choose anything by the test split."""
