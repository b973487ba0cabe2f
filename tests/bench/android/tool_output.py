"""What benchmark_model prints."""

# The lines that TFLite's benchmark_model ends with, as its source prints them.
TIMINGS = """\
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=5 first=124020 curr=115000 min=114000 max=124020 avg=117225 std=3400 p5=114000 median=116000 p95=124020
INFO: count=50 first=116000 curr=115900 min=115100 max=118000 avg=116066 std=420 p5=115200 median=116010 p95=117000
INFO: Inference timings in us: Init: 530, First inference: 124020, Warmup (avg): 117225, Inference (avg): 116066
INFO: Memory footprint delta from the start of the tool (MB): init=3.75 overall=12.1914
"""
# As LiteRT's benchmark_model logs on Android.
LITERT = """\
INFO: [benchmark_litert_model.h:70]
========== BENCHMARK RESULTS ==========
INFO: [benchmark_litert_model.h:71] Model initialization: 12.34 ms
INFO: [benchmark_litert_model.h:73] Warmup (first):       8.76 ms
INFO: [benchmark_litert_model.h:75] Warmup (avg):         5.43 ms (92 runs)
INFO: [benchmark_litert_model.h:77] Inference (avg):      5.21 ms (192 runs)
INFO: [benchmark_litert_model.h:81] Inference (min):      5.01 ms
INFO: [benchmark_litert_model.h:83] Inference (max):      7.89 ms
INFO: [benchmark_litert_model.h:85] Inference (std):      0.31
INFO: [benchmark_litert_model.h:91] Throughput:           110.25 MB/s
INFO: [benchmark_litert_model.h:101]
Memory Usage:
INFO: [benchmark_litert_model.h:102] Init footprint:       3.50 MB
INFO: [benchmark_litert_model.h:104] Overall footprint:    9.75 MB
INFO: [benchmark_litert_model.h:109] Peak memory:          20.00 MB
"""
