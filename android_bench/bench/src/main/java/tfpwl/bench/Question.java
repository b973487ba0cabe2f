package tfpwl.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import tfpwl.bundle.Manifest;

/** One input, made from a seed, and room for its answer: asked again and again, nothing is allocated. */
final class Question {
    private static final int MIN_ANSWERS = 5;

    final ByteBuffer x;
    final ByteBuffer answer;

    Question(Manifest manifest, long seed) {
        x = buffer(manifest.input().tensor.numBytes());
        answer = buffer(manifest.output().tensor.numBytes());
        Random random = new Random(seed);
        boolean floats = manifest.input().tensor.dtype.equals("float32");
        while (x.hasRemaining()) {
            if (floats) {
                x.putFloat((float) random.nextGaussian());
            } else {
                x.put((byte) random.nextInt(256));
            }
        }
        x.rewind();
    }

    private static ByteBuffer buffer(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    /** Ask once; how long the answer took, in milliseconds. */
    double ask(Subject subject) {
        long start = System.nanoTime();
        subject.answer(x, answer);
        return (System.nanoTime() - start) / 1e6;
    }

    /** Ask for some seconds, at least a few times; the first answer, which warms up, is not counted. */
    Times askFor(Subject subject, double seconds) {
        ask(subject);
        Times times = new Times();
        long start = System.nanoTime();
        while (times.count() < MIN_ANSWERS || System.nanoTime() - start < seconds * 1e9) {
            times.add(ask(subject));
        }
        return times;
    }

    /** Two subjects in turn, so that what else the device does meets both. */
    Times[] askInTurn(Subject first, Subject second, double seconds) {
        ask(first);
        ask(second);
        Times[] times = {new Times(), new Times()};
        long start = System.nanoTime();
        while (times[1].count() < MIN_ANSWERS || System.nanoTime() - start < seconds * 1e9) {
            times[0].add(ask(first));
            times[1].add(ask(second));
        }
        return times;
    }

    /** The last answer, in memory of its own. */
    ByteBuffer keepAnswer() {
        ByteBuffer copy = ByteBuffer.allocate(answer.capacity());
        copy.put(answer.duplicate());
        copy.rewind();
        return copy;
    }
}
