"""Every registered network: its size, its stages, the order of its parameters, the images it accepts."""

import itertools
import math
import re
from pathlib import Path

import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional

from freezeout import models
from freezeout.models.densenet_bc import Transition
from freezeout.stages.chain import Chain
from freezeout.stages.traced import points
from freezeout.stages.tracing import trace
from freezeout.stages.untraced import reads

CONF = Path(__file__).parent.parent / "conf" / "model"

# A small version of every registered network, and the side of the images it is tried on.
SMALL = {
    "densenet_bc": ({"depth": 16, "growth": 4}, 8),
    "wide_resnet": ({"depth": 10, "widen": 1}, 8),
    "vgg": ({"width": 0.125}, 32),
    "resnet_cifar": ({"depth": 8}, 8),
    "torchvision": ({"network": "resnet18"}, 32),
    "timm": ({"network": "mobilenetv3_small_050"}, 32),
    "python": ({"target": "own_network:build", "options": {"width": 4}}, 8),
}

OWN_NETWORK = """
from torch import nn

def build(classes, width):
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3), *head)

def number(classes):
    return classes

def lookup(classes):
    return {}["x"]

class Deep(nn.Conv2d):
    def forward(self, x):
        raise KeyError("depth")

def deep(classes):
    return Deep(3, classes, 1)

def maps(classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, classes, 3))

def narrow(classes):
    return build(classes - 1, 4)
"""


@pytest.fixture
def own_network(tmp_path, monkeypatch):
    (tmp_path / "own_network.py").write_text(OWN_NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # restores sys.path afterwards, which finding the function extends


@pytest.fixture(params=list(models.MODELS))
def network(request, own_network) -> tuple[Chain, torch.Tensor]:
    """A registered network for 10 classes, and two images."""
    fields, side = SMALL[request.param]
    torch.manual_seed(0)
    return models.build(request.param, 10, image=(side, side), **fields), torch.randn(2, 3, side, side)


def test_the_networks_of_the_paper_have_its_parameters_and_stages():
    def size(name, **fields):
        with torch.device("meta"):
            chain = models.build(name, 100, **fields)
        return sum(p.numel() for p in chain.parameters()), len(chain)

    assert size("densenet_bc", depth=76, growth=12) == (510_040, 40)
    assert size("wide_resnet", depth=40, widen=4) == (8_972_340, 20)
    assert size("vgg") == (15_298_596, 14)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_option_says_its_true_size(path):
    config = OmegaConf.to_container(OmegaConf.load(path))
    name = re.fullmatch(r"/schema/model/(\w+)@_here_", config.pop("defaults")[0])[1]
    fields = models.MODELS[name].__dataclass_fields__
    assert set(config) == set(fields), "a file gives every field, so that all can be seen in it"
    if name == "python":
        return
    said = re.search(r"([\d,]+) parameters with 100 classes, ([\d,]+) with 10; (\d+) stages", path.read_text())
    assert said, "the header says how large the network is"
    hundred, ten, stages = (int(number.replace(",", "")) for number in said.groups())
    with torch.device("meta"):
        chains = [models.build(name, classes, **config) for classes in (100, 10)]
    assert [sum(p.numel() for p in c.parameters()) for c in chains] == [hundred, ten]
    assert [len(c) for c in chains] == [stages, stages]


def test_every_registered_network_has_an_option_of_its_own_name():
    assert {path.stem for path in CONF.glob("*.yaml")} >= set(models.MODELS) == set(SMALL)


def test_the_original_draws_these_shapes_in_this_order():
    """Shapes of a DenseNet-BC of depth 16, growth 4 in the original code, parameters and buffers in order of use."""

    def bn(c):
        return [(c,)] * 4 + [()]

    def bottleneck(c):
        return [*bn(c), (16, c, 1, 1), *bn(16), (4, 16, 3, 3)]

    block = [*bottleneck(8), *bottleneck(12)]
    transition = [*bn(16), (8, 16, 1, 1)]
    expected = [(8, 3, 3, 3), *block, *transition, *block, *transition, *block, *bn(16), (10, 16), (10,)]
    chain = models.build("densenet_bc", 10, depth=16, growth=4)
    assert [tuple(tensor.shape) for tensor in chain.state_dict().values()] == expected


def test_stages_run_in_the_order_of_the_chain(network):
    chain, x = network
    read = reads(chain, x)
    when = [[read[id(p)][1] for p in stage.parameters()] for stage in chain]
    for before, after in itertools.pairwise(when):
        assert max(before) < min(after)


@pytest.mark.parametrize("name", ["densenet_bc", "wide_resnet", "vgg", "resnet_cifar"])
def test_parameters_come_in_the_order_in_which_they_are_used(name):
    fields, side = SMALL[name]
    chain = models.build(name, 10, **fields, image=(side, side))
    read = reads(chain, torch.randn(2, 3, side, side))
    when = [read[id(p)][1] for p in chain.parameters()]
    assert when == sorted(when)


def test_any_split_equals_the_whole_forward(network):
    chain, x = network
    chain.eval()
    with torch.no_grad():
        whole = chain(x)
        for k in range(1, len(chain)):
            y = x
            for i in range(k):
                y = chain[i](y)
            assert isinstance(y, torch.Tensor)
            y = y.clone()
            for i in range(k, len(chain)):
                y = chain[i](y)
            assert torch.equal(y, whole)


def test_the_gradient_reaches_every_parameter(network):
    chain, x = network
    functional.cross_entropy(chain.train()(x), torch.tensor([0, 1])).backward()
    for name, p in chain.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.ndim == 1 or p.grad.abs().sum() > 0, name


def test_a_network_works_at_its_smallest_image_and_is_refused_below():
    for name in ("densenet_bc", "wide_resnet", "vgg", "resnet_cifar"):
        fields, side = SMALL[name]
        chain = models.build(name, 7, image=(side, side + 3), **fields)
        assert chain.smallest == side
        assert chain(torch.randn(2, 3, side, side + 3)).shape == (2, 7)
        with pytest.raises(ValueError, match=rf"{name} needs images of at least {side} x {side} and got {side} x 7"):
            models.build(name, 7, image=(side, 7), **fields)


def test_the_refusal_names_the_remedy():
    message = "vgg needs images of at least 32 x 32 and got 8 x 8: set dataset.size=32"
    with pytest.raises(ValueError, match=f"^{message}$"):
        models.build("vgg", 10, image=(8, 8), width=0.125)


def test_the_seed_alone_decides_the_initial_weights():
    def draw(seed):
        torch.manual_seed(seed)
        return next(models.build("wide_resnet", 10, depth=10, widen=1).parameters())

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_convolutions_are_drawn_with_variance_two_over_outgoing_connections():
    chain = models.build("wide_resnet", 10, depth=16, widen=4)
    for module in chain.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_a_densenet_transition_cuts_negative_values_before_it_normalises():
    transition = Transition(4).train()
    assert transition(-torch.rand(2, 4, 8, 8)).abs().max() == 0


def test_the_head_of_vgg_normalises_its_second_hidden_layer_twice():
    kinds = [type(layer).__name__ for layer in models.build("vgg", 10, width=0.125)[13]]
    assert kinds[2:] == [
        *("Linear", "BatchNorm1d", "ReLU", "Dropout"),
        *("Linear", "BatchNorm1d", "ReLU", "BatchNorm1d", "Dropout", "Linear"),
    ]


def test_dropout_is_a_field():
    for name, fields in (("densenet_bc", {"depth": 10}), ("wide_resnet", {"depth": 10}), ("vgg", {"width": 0.125})):
        chain = models.build(name, 10, dropout=0.25, **fields)
        assert {m.p for m in chain.modules() if isinstance(m, nn.Dropout)} == {0.25}


def test_vision_transformers_are_built_for_the_size_of_the_data():
    with torch.device("meta"):
        chain = models.build("torchvision", 10, network="vit_b_32", image=(64, 64))
    assert chain.executable
    assert chain.state_dict()["stages.encoder_pos_embedding.encoder.pos_embedding"].shape == (1, 5, 768)


@pytest.mark.parametrize("network", ["googlenet", "inception_v3"])
def test_networks_with_auxiliary_heads_return_one_tensor_while_they_train(network):
    with torch.device("meta"):
        chain = models.build("torchvision", 10, network=network, image=(96, 96))
        assert chain.train()(torch.zeros(2, 3, 96, 96)).shape == (2, 10)


def test_resnet50_has_the_points_and_stages_that_its_option_says():
    said = re.search(r"ResNet-50 has (\d+) stages .* (\d+) points", (CONF / "torchvision.yaml").read_text())
    with torch.device("meta"):
        plain = torchvision.models.resnet50()
        found = points(trace(plain, torch.zeros(1, 3, 32, 32)))
        chain = models.build("torchvision", 10, network="resnet50")
    assert [len(chain), len(found)] == [int(number) for number in said.groups()]


def test_options_reach_torchvision():
    with torch.device("meta"):
        chain = models.build("torchvision", 10, network="squeezenet1_1", options={"dropout": 0.125})
    assert [m.p for m in chain.modules() if isinstance(m, nn.Dropout)] == [0.125]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("wide_resnt", {}, r"^model=wide_resnt: unknown; did you mean wide_resnet\? Available: densenet_bc, "),
        ("vgg", {"depth": 3}, "model=vgg has the fields width, dropout, and was given depth"),
        ("wide_resnet", {"depth": 39}, "model.depth=39: a Wide ResNet has 6 n"),
        ("torchvision", {"network": "resnet51"}, "model.network=resnet51: .* did you mean resnet5"),
        ("torchvision", {"network": "fcn_resnet50"}, "no such classification network"),
        ("torchvision", {"network": "resnet18", "options": {"colour": 1}}, "resnet18 with options .*colour"),
        ("torchvision", {"network": "googlenet", "options": {"aux_logits": True}}, "aux_logits"),
        ("torchvision", {"network": "vit_b_16", "image": (30, 30)}, "vit_b_16 .* 30 x 30 .*patch size.*dataset.size"),
        ("torchvision", {"network": "vit_b_16", "image": (32, 48)}, "vit_b_16 needs square images and got 32 x 48"),
        ("torchvision", {"network": "inception_v3", "image": (8, 8)}, "inception_v3 .* 8 x 8 .*dataset.size"),
        ("timm", {"network": "resnet51"}, "model.network=resnet51: timm has no such .* did you mean resnet5"),
        (
            "timm",
            {"network": "hf_hub:timm/resnet18"},
            r"timm has no such classification network; see timm\.list_models",
        ),
        ("timm", {"network": "resnet18", "options": {"colour": 1}}, "resnet18 with options .*colour"),
        ("timm", {"network": "resnet18", "options": {"pretrained": True}}, "with options pretrained=True .*pretrained"),
        ("python", {"target": "own_network"}, "model.target=own_network: must be"),
        ("python", {"target": "no_such_file:build"}, "cannot import no_such_file"),
        ("python", {"target": "own_network:bild"}, r"no function bild; did you mean build\? Available: .*build"),
        ("python", {"target": "own_network:build"}, "cannot be called with classes: .*; its arguments: classes, width"),
        ("python", {"target": "own_network:build", "options": {"size": 1}}, "cannot be called with classes, size"),
        ("python", {"target": "own_network:lookup"}, r"own_network:lookup: raised KeyError: 'x' \(in its line 12\)$"),
        ("python", {"target": "own_network:build", "options": {"classes": 3}}, "model.options.classes=3: leave it out"),
        ("python", {"target": "own_network:deep"}, "its network raised KeyError: 'depth' .* for images of 32 x 32"),
        ("python", {"target": "own_network:maps"}, r"output for 2 images .* is \(2, 10, 28, 28\), must be \(2, 10\)"),
        ("python", {"target": "own_network:narrow"}, r"2 images in 10 classes is \(2, 9\), must be \(2, 10\)"),
        ("python", {"target": "own_network:number"}, "returned int, must be a torch.nn.Module"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name, fields, message, own_network):
    with pytest.raises(ValueError, match=message) as refusal:
        models.build(name, 10, **fields)
    assert "\n" not in str(refusal.value)


def test_options_are_given_as_their_option_says(own_network):
    """The plus: options are open, and Hydra adds to what is there only when told to."""
    from hydra import compose, initialize_config_dir

    from freezeout.run import config

    config.register()
    for words in (CONF / "torchvision.yaml", CONF / "timm.yaml", CONF / "python.yaml"):
        given = re.search(r"\+model\.options\.(\w+)=(\S+)", words.read_text())
        needed = ["model.target=own_network:build"] if words.stem == "python" else []
        with initialize_config_dir(str(CONF.parent), version_base="1.3"):
            composed = compose("config", [f"model={words.stem}", *needed, given[0]])
        assert str(composed.model.options[given[1]]) == given[2]


def test_a_chain_of_the_users_own_is_used_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "own_chain.py").write_text(
        "from torch import nn\nfrom freezeout import Chain\n\ndef build(classes):\n"
        "    stages = {'body': nn.Conv2d(3, 4, 3), 'head': nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))}\n"
        "    return Chain(stages, smallest=16)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert models.build("python", 10, target="own_chain:build").names == ["body", "head"]
    with pytest.raises(ValueError, match="python needs images of at least 16 x 16 and got 8 x 8"):
        models.build("python", 10, target="own_chain:build", image=(8, 8))
