"""Networks of Hugging Face: embedding, blocks and head are stages, and a frozen one obeys the freeze contract."""

from __future__ import annotations

import logging

import pytest
import torch

from freezeout import FreezeOut, find_stages
from freezeout.strategies import FreezeOut as Strategy

transformers = pytest.importorskip("transformers", reason="pip install 'freezeout[dev]'")

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 3}
WORDS = torch.randint(50, (4, 7), generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
STEPS = 12


def bert():
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **SMALL)
    return transformers.BertForSequenceClassification(config), {"input_ids": WORDS}


def vit():
    config = transformers.ViTConfig(image_size=8, patch_size=4, **SMALL)
    return transformers.ViTForImageClassification(config), {"pixel_values": IMAGES}


def gpt2_config():
    size = {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 16, "num_labels": 3}
    return transformers.GPT2Config(vocab_size=50, pad_token_id=0, bos_token_id=0, eos_token_id=0, **size)


def gpt2():
    return transformers.GPT2ForSequenceClassification(gpt2_config()), {"input_ids": WORDS}


def gpt2_tied():
    return transformers.GPT2LMHeadModel(gpt2_config()), {"input_ids": WORDS}


def made(build):
    torch.manual_seed(0)
    model, inputs = build()
    return model, inputs, find_stages(model.train(), inputs)


NAMES = {
    bert: ("bert_embeddings", "bert_encoder_layer_{}", "bert_pooler_dense"),
    vit: ("vit_embeddings_patch_embeddings_projection", "vit_layers_{}", "vit_layernorm"),
    gpt2: ("transformer_wte", "transformer_h_{}", "transformer_ln_f"),
    gpt2_tied: ("transformer_wpe", "transformer_h_{}", "transformer_ln_f"),
}


@pytest.mark.parametrize("build", NAMES)
def test_embedding_each_block_and_the_head_are_the_stages(build) -> None:
    model, _, chain = made(build)
    first, block, head = NAMES[build]
    assert chain.names == [first, *(block.format(i) for i in range(3)), head]
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 3)
    for stage, block in zip(list(chain)[1:4], blocks, strict=True):
        assert {id(p) for p in stage.parameters()} == {id(p) for p in block.parameters()}
    owned = [id(p) for stage in chain for p in stage.parameters()]
    assert sorted(owned) == sorted({id(p) for p in model.parameters()})


@pytest.mark.parametrize("build", NAMES)
def test_it_says_that_the_network_runs_as_a_whole(build, caplog) -> None:
    with caplog.at_level(logging.WARNING, "freezeout"):
        chain = made(build)[2]
    assert not chain.executable
    assert "its 5 stages frozen by flags: its input is not one tensor" in caplog.text
    assert ("transformer.wte.weight is used at both ends" in caplog.text) == (build is gpt2_tied)


@pytest.mark.parametrize("build", NAMES)
def test_a_frozen_stage_stands_still_and_builds_no_graph(build) -> None:
    _, inputs, chain = made(build)
    optimizer = torch.optim.AdamW(chain.parameters(), lr=0.01)
    freezer = FreezeOut(chain, optimizer, Strategy(t_0=0.25, how_scale="linear"), STEPS)
    for step in range(STEPS):
        chain.train()
        freezer.step()
        before = [[p.detach().clone() for p in stage.parameters()] for stage in chain]
        torch.manual_seed(step)
        chain(**inputs).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        for i, (stage, was) in enumerate(zip(chain, before, strict=True)):
            still = all(torch.equal(p, q) for p, q in zip(stage.parameters(), was, strict=True))
            assert still == (i < freezer.prefix)
            dropouts = [m for m in stage.modules() if isinstance(m, torch.nn.Dropout)]
            assert all(m.training == (i >= freezer.prefix) for m in dropouts)
            assert dropouts or i in (0, 4), "every block drops"
    assert freezer.prefix == 4


def test_a_frozen_stage_sleeps_also_when_the_network_it_was_found_in_is_put_into_training_mode() -> None:
    """As a Trainer does before each batch; the stages' own flags it does not know."""
    model, _, chain = made(bert)
    freezer = FreezeOut(chain, torch.optim.SGD(chain.parameters(), lr=0.1), Strategy(t_0=0.25), STEPS)
    freezer.load_state_dict({"step": STEPS})
    model.train()
    freezer.set_modes()
    awake = [any(m.training for m in stage.modules() if isinstance(m, torch.nn.Dropout)) for stage in chain]
    assert freezer.prefix >= 2
    assert awake[1:4] == [i >= freezer.prefix for i in range(1, 4)]


def test_a_frozen_prefix_computes_the_same_for_the_same_words() -> None:
    model, inputs, chain = made(bert)
    for stage in list(chain)[:3]:
        stage.eval()
    outputs = []
    model.bert.encoder.layer[1].register_forward_hook(lambda *args: outputs.append(args[-1]))
    for _ in range(2):
        chain(**inputs)
    one, other = (o[0] if isinstance(o, tuple) else o for o in outputs)
    assert torch.equal(one, other), "a dropout that is awake would differ"


def test_embeddings_that_the_user_froze_stay_frozen_and_out_of_the_optimizer() -> None:
    model, inputs, chain = made(bert)
    for p in model.bert.embeddings.parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in chain.parameters() if p.requires_grad], lr=0.01)
    freezer = FreezeOut(chain, optimizer, Strategy(t_0=0.25, how_scale="linear"), STEPS)
    before = model.bert.embeddings.word_embeddings.weight.clone()
    for _ in range(STEPS):
        freezer.step()
        chain(**inputs).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, before)
    assert freezer.prefix == 4
