"""Numbers of training requests: reordered, missing, refused; and several clients at once."""

import threading

import numpy as np
import pytest
from sdk_values import checkpoint_folder, datum, tokens
from tinker import types

from training.engine.errors import BadRequest, Busy
from training.engine.protocol.turns import Turns


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def order():
    """Turns that note what was started, with a clock of the test's own."""
    made = Turns(0, most=3, patience_s=5.0, clock=Clock())
    made.ran = []
    made.send = lambda *numbers: [made.offer(n, lambda n=n: made.ran.append(n)) for n in numbers]
    return made


def test_what_comes_too_early_waits_for_what_comes_before_it(order):
    order.send(3, 2)
    assert order.ran == []
    assert order.missing == 1
    order.send(1, 4)
    assert order.ran == [1, 2, 3, 4]
    assert not order


def test_a_number_that_never_comes_is_waited_for_a_while_only(order):
    order.send(1, 3)
    order.clock.now = 2.0
    order.send(5)
    order.release()
    assert order.ran == [1]
    order.clock.now = 5.0
    order.release()
    assert order.ran == [1, 3], "5 came later and waits longer"
    assert order.missing == 4
    order.clock.now = 7.0
    order.release()
    assert order.ran == [1, 3, 5]
    with pytest.raises(BadRequest, match="already taken"):
        order.send(4)


def test_a_refused_number_holds_nobody_up_and_may_be_used_again(order):
    order.send(1, 3)
    order.refuse(2)
    assert order.ran == [1, 3]
    order.refuse(4)
    order.send(4, 5)
    assert order.ran == [1, 3, 4, 5]
    order.refuse(10**6)
    assert not order._refused, "what is far away is not remembered"


def test_what_waits_is_bounded_and_the_next_in_turn_is_always_taken(order):
    order.send(2, 3, 4)
    with pytest.raises(Busy, match="request 1"):
        order.send(5)
    order.send(1)
    assert order.ran == [1, 2, 3, 4]


def test_a_request_that_cannot_begin_leaves_its_number_free(order):
    def fail():
        raise BadRequest("no")

    with pytest.raises(BadRequest, match="no"):
        order.offer(1, fail)
    order.send(1)
    assert order.ran == [1]


def forward_backward(model_id, number, ids):
    from training.engine.protocol.wire import pb

    message = pb.ForwardBackwardRequest(model_id=model_id, seq_id=number, loss_fn="cross_entropy")
    part = message.data.add()
    part.model_input.add().encoded_text.tokens = np.array(ids[:-1], "<i4").tobytes()
    target = part.loss_fn_inputs["target_tokens"]
    target.dtype, target.dense = 2, np.array(ids[1:], "<i8").tobytes()
    target.shape.append(len(ids) - 1)
    return message.SerializeToString()


def test_requests_that_arrive_backwards_train_as_if_they_had_come_in_order(running, client, tiny):
    ids = tokens(3, 20)
    model = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    step = {"model_id": model.model_id, "adam_params": {"learning_rate": 0.02}}
    save = {"model_id": model.model_id, "seq_id": 5, "path": "backwards"}
    told = [
        running.post("/save_weights_for_sampler", save),
        running.post("/optim_step", {**step, "seq_id": 4}),
        running.post("/forward_backward", content=forward_backward(model.model_id, 3, ids)),
        running.post("/optim_step", {**step, "seq_id": 2}),
        running.post("/optim_step", {**step, "seq_id": 4}),
        running.post("/forward_backward", content=forward_backward(model.model_id, 1, ids)),
    ]
    assert [reply.status_code for reply in told] == [200] * 6
    names = [reply.json()["request_id"] for reply in told]
    assert names[1] == names[4], "a repeated one that still waits is the same"
    saved = running.post("/retrieve_future", {"request_id": names[0]}).json()
    other = client.create_lora_training_client(str(tiny), rank=4, seed=0).result()
    for _ in range(2):
        other.forward_backward([datum(ids)], "cross_entropy")
        other.optim_step(types.AdamParams(learning_rate=0.02))
    wanted = other.save_weights_for_sampler("in-order").result().path
    assert weights(running, saved["path"]) == weights(running, wanted)


def weights(running, path) -> bytes:
    return (checkpoint_folder(running, path) / "adapter_model.safetensors").read_bytes()


def test_two_trainers_and_samplers_at_once_give_the_bytes_that_each_gives_alone(
    running, client, tiny
):
    def train(seed, service, name):
        model = service.create_lora_training_client(str(tiny), rank=4, seed=seed).result()
        for i in range(6):
            model.forward_backward([datum(tokens(seed + i, 40 + i))] * 3, "cross_entropy")
            model.optim_step(types.AdamParams(learning_rate=0.01, grad_clip_norm=1.0))
        return weights(running, model.save_weights_for_sampler(name).result().path)

    def sample(seed, service):
        sampler = service.create_sampling_client(base_model=str(tiny)).result()
        params = types.SamplingParams(max_tokens=30, seed=seed, top_p=0.9, stop=[])
        futures = [
            sampler.sample(types.ModelInput.from_ints(tokens(seed + i, 6)), 2, params)
            for i in range(10)
        ]
        return [s.tokens for future in futures for s in future.result().sequences]

    jobs = [(train, 1, "a"), (train, 2, "b"), (sample, 3), (sample, 4)]
    alone = [work(seed, client, *rest) for work, seed, *rest in jobs]
    together: list = [None] * len(jobs)

    def run(i):
        work, seed, *rest = jobs[i]
        together[i] = work(seed, running.client(), *rest)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == alone
