"""One optimiser step, and one look at held-out images, over all replicas."""

from __future__ import annotations

from typing import Any

from fcnship.graph.tracing import untraceable
from fcnship.training.replicas import Replicas


def class_scores(tf: Any, outputs: Any) -> Any:
    """Scores of an image, (batch, classes): a map of scores is averaged over its cells."""
    return tf.reduce_mean(outputs, axis=(1, 2)) if outputs.shape.rank == 4 else outputs


def signature_of(tf: Any, channels: int, replicas: Replicas) -> list[Any]:
    """How many images a whole batch has, then images, labels and weights of each replica in this process."""
    share = [
        tf.TensorSpec((None, None, None, channels), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None,), tf.float32),
    ]
    return [tf.TensorSpec((), tf.float32), *share * len(replicas.own)]


def update_function(tf: Any, model: Any, optimizer: Any, replicas: Replicas) -> Any:
    """A function of a batch's parts (see ``signature_of``) that makes a step: (loss, accuracy) of the batch.

    Raises:
        ModelRefused: the model cannot be traced at any size.
    """
    variables = model.trainable_variables

    def step(total: Any, *parts: Any) -> Any:
        images, labels, weights = _share(tf, replicas, parts)
        with tf.GradientTape() as tape:
            scores = class_scores(tf, model(images, training=True))
            penalty = tf.add_n([tf.constant(0.0), *model.losses]) / replicas.count
            loss = _loss(tf, labels, scores, weights) / total + penalty
            scaled = optimizer.scale_loss(loss)  # its gradients are scaled back where they are applied
        gradients = _summed_gradients(tf, tape.gradient(scaled, variables), replicas)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        _level(tf, model.non_trainable_variables, replicas)
        return _summed(tf, tf.stack([loss, _right(tf, labels, scores, weights) / total]), replicas)

    with replicas.strategy.scope():
        optimizer.build(variables)
    if replicas.count > 1:
        # Keras would clip each replica's gradients and sum afterwards; here the sum is clipped, as on one.
        optimizer._all_reduce_sum_gradients = list
    return _compiled(tf, model, replicas, step)


def evaluation_function(tf: Any, model: Any, replicas: Replicas) -> Any:
    """A function of a batch's parts that changes nothing: (sum of losses, images that were right)."""

    def look(total: Any, *parts: Any) -> Any:
        images, labels, weights = _share(tf, replicas, parts)
        scores = class_scores(tf, model(images, training=False))
        both = [_loss(tf, labels, scores, weights), _right(tf, labels, scores, weights)]
        return _summed(tf, tf.stack(both), replicas)

    return _compiled(tf, model, replicas, look)


def _compiled(tf: Any, model: Any, replicas: Replicas, work: Any) -> Any:
    # One trace for all sizes: without the signature each new size would be traced and compiled again, and
    # machines whose shares differ would trace at different steps and wait for each other for ever.
    signature = signature_of(tf, model.inputs[0].shape[-1], replicas)

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def compiled(*parts: Any) -> Any:
        return replicas.strategy.experimental_local_results(replicas.strategy.run(work, args=parts))[0]

    try:
        compiled.get_concrete_function()
    except (TypeError, ValueError) as error:
        raise untraceable(model, error) from error
    return compiled


def _share(tf: Any, replicas: Replicas, parts: Any) -> Any:
    place = replicas.place_here(tf)
    return parts[3 * place : 3 * place + 3]


def _loss(tf: Any, labels: Any, scores: Any, weights: Any) -> Any:
    import keras

    return tf.reduce_sum(weights * keras.losses.sparse_categorical_crossentropy(labels, scores))


def _right(tf: Any, labels: Any, scores: Any, weights: Any) -> Any:
    right = tf.argmax(scores, axis=1, output_type=tf.int32) == labels
    return tf.reduce_sum(weights * tf.cast(right, tf.float32))


def _summed(tf: Any, values: Any, replicas: Replicas) -> Any:
    """The sum over all replicas, the same to the bit on each: what is decided by it is decided alike."""
    if replicas.count == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _summed_gradients(tf: Any, gradients: Any, replicas: Replicas) -> Any:
    if replicas.count == 1:
        return gradients
    there = [gradient for gradient in gradients if gradient is not None]
    summed = iter(_summed(tf, there, replicas))
    return [None if gradient is None else next(summed) for gradient in gradients]


def _level(tf: Any, variables: Any, replicas: Replicas) -> None:
    """Running statistics, which each replica has from its own share, become their mean on all."""
    running = [variable for variable in variables if "float" in variable.dtype]
    if replicas.count == 1 or not running:
        return
    context = tf.distribute.get_replica_context()
    means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [variable.value + 0.0 for variable in running])
    for variable, mean in zip(running, means, strict=True):
        variable.assign(mean)
