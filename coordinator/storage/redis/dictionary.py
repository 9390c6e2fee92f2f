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

_READING_TERMS_V2 = """
activation_checkpointing adafactor adagrad adam adaptive add agc alibi alternating amsgrad anneal
aspect_ratio attention augmentation auxiliary_loss average back_out batch batch_ramp beta1 beta2 betas
bf16 bias bigram block_size brotli byte_weighting cautious centralization channel_wise chunk
chunk_boundary compile constant conv cosine cuda_graphs curriculum damping decay_to_zero decoder depth
device_batch differential_attention distillation document_mask double double_norm down drop_path dropout
dynamic_tanh early_exit elu ema embed_scale embedding embedding_norm encoder entropy_regularization
epochs eps every_group every_layer experts exponential final_lr final_norm first_half first_layers
flash_attention flex_attention focal focal_loss_gamma fp16 fp32 fp8 freeze fused gate gate_channels
gated_attention geglu gelu glu gptq grad_accum grad_clip gradient_accumulation_schedule
gradient_averaging gradient_noise gradient_penalty half head_dim head_wise hourglass hyper_connections
init int6 int8 k_projection kaiming label_noise label_smoothing lamb last_layers layer_scale layernorm
leaky_relu leaky_relu2 learnable less linear linear_attention lion logit_bias logit_scale lookahead
looped low_rank lr lr_scale_reference lr_schedule lzma matrix max_autotune memory_fraction mile mish
mixture_of_depths mixup mla mlp mlp_input mlp_ratio moe momentum momentum_buffer momentum_schedule
momentum_start momentum_warmup more multi_token mup n_head n_kv_head nadam nesterov newton_schulz ngram
nope normal_distribution normuon ns_steps num_loops one_cycle orthogonal_init output_projection packing
parallel_block per_layer_scaling peri_ln polar_decomposition polar_express poly_loss polynomial post_norm
pre_norm prefetch prodigy psgd q_projection qat qk qk_gain qk_norm quadruple quarter radam
reduce_overhead register_tokens reglu relu relu2 relu3 remove replace reset resid_lambda restarts rmsnorm
rmsprop rope rope_base rope_cache rope_dims router scalar schedule_free scion sdpa second_half
second_order seed seq_len set sgd shampoo share sharpness_aware short_window shuffle sigmoid sign_descent
silu sink sliding_eval smear_gate soft_moe softcap softmax softplus sophia sparse_attention spectral_norm
split sqrt ssm stochastic stride swa swiglu tanh temperature token_shift token_weighting top_k
total_batch triple triton truncated_normal trust_ratio ttt unembedding unet uniform unigram untie up
v_projection value_embedding value_residual vocab_size warm_start warmdown warmup wd weight_clipping
weight_norm weight_standardization weight_tying width window wsd x0_lambda xavier xsa yarn z_loss
zero_init zlib
"""
"""What titles are read to."""

_READINGS_V2 = (
    '],1,["1","lr\\tmatrix","","","","u"]],1,["0,1"]],1,["0,1,0,1"]],1,["0,2,0,1,1","],'
    '1,["1,0,0,0,1","depth","8","9","","u"]'
)

RECORD_DICTIONARY_V2 = b"".join(
    ['","'.join(_READING_TERMS_V2.split()).encode(), _READINGS_V2.encode(), RECORD_DICTIONARY_V1]
)
"""Of experiments with their readings: what a reading adds is shorter by a quarter with it."""
