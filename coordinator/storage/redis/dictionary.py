"""Texts that records are likely to hold, as zstd dictionaries. A changed text is a new version."""

RECORD_DICTIONARY_V1 = "\n".join(  # noqa: FLY002
    [
        '"rejected","","timed_out","","crashed","syntax_error","import_error","out_of_memory","hang","nan"',
        '"removed","replace","add","remove","optimizer","attention","embedding","normalization","activation"',
        "Because the model is undertrained in the fixed budget, a larger learning rate should converge",
        "faster. Smaller batches give more optimizer steps within the time budget. The loss curve suggests",
        "that the learning rate decays too early; warmup, warmdown, weight decay, momentum, beta, dropout,",
        "depth, width, heads, sequence length, window, rotary, value embeddings, residual, squared ReLU,",
        "SwiGLU, logit softcap, gradient clipping, label smoothing, exponential moving average, init,",
        'Increase Decrease Reduce Raise Lower Double Halve Change from to ["c","MATRIX_LR","0.04","0.05"]',
        '["c","EMBEDDING_LR","0.6","0.8"],["c","WEIGHT_DECAY","0.2","0.1"],["c","WARMUP_RATIO","0.0","0.05"]',
        '["c","WARMDOWN_RATIO","0.5","0.6"],["c","TOTAL_BATCH_SIZE","2**19","2**18"],["c","DEPTH","8","9"]',
        '["c","UNEMBEDDING_LR","0.004","0.008"],["c","SCALAR_LR","0.5","0.4"],["c","N_LAYER","4","5"]',
        '["c","DEVICE_BATCH_SIZE","128","64"],["c","ADAM_BETAS","(0.8, 0.95)","(0.9, 0.95)"],["m","add","',
        '","new","","search","ch_',
        '"retest","","command","ch_',
        '","completed","verify_candidate",{"val_bpb":1.',
        '","completed","verify_control",{"val_bpb":0.',
        '","crashed","explore",{},',
        '","completed","baseline",{"val_bpb":0.99',
        ',"train_seconds":300.0,"total_seconds":3,"setup_seconds":2,"eval_seconds":1,"peak_vram_mb":4',
        ',"train_s":300.0,"setup_s":2,"eval_s":1,"steps":9,"tokens":4,"tokens_per_s":1,"parameters":5',
        ',"num_steps":9,"total_tokens_M":4,"num_params_M":50.3,"mfu_percent":39.8,"depth":8',
        ',"peak_memory_mb":4,"train_loss":3.,"leak_nats":0.0},',
        '["cpu/torch-2.13","cpu","AMD EPYC 7B13",16384.0,"2.13.0",1],"sha256:',
        '["nvidia-h100-sxm-80gb/torch-2.13","cuda","NVIDIA H100 80GB HBM3",81559,"2.13.0+cu130",1],"sha256:',
        '","1.0.0",17,17,"","",{"harness":"sha256:","sandbox":"landlock"},""]',
        '","0.1.0",18,18,"","",{},""]',
        '","completed","explore",{"val_bpb":0.98',
    ]
).encode()
"""What lies near the end of a dictionary is cheapest to refer to."""
