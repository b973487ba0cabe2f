package tfpwl.runtime;

import java.nio.ByteBuffer;
import tfpwl.bundle.TensorSpec;

/** Answers with the chain of the moment: holds it, takes a lane, runs, and gives both back. */
final class Predictor {
    private final Switcher switcher;
    private final TensorSpec input;
    private final TensorSpec output;

    Predictor(Switcher switcher, TensorSpec input, TensorSpec output) {
        this.switcher = switcher;
        this.input = input;
        this.output = output;
    }

    float[] predict(float[] x) {
        checkInput("float32", x.length);
        Chain chain = hold();
        Lane lane = null;
        try {
            lane = chain.take();
            lane.input.rewind();
            lane.input.asFloatBuffer().put(x);
            return answer(lane);
        } finally {
            giveBack(chain, lane);
        }
    }

    float[] predict(byte[] image) {
        checkInput("uint8", image.length);
        Chain chain = hold();
        Lane lane = null;
        try {
            lane = chain.take();
            lane.input.rewind();
            lane.input.put(image);
            return answer(lane);
        } finally {
            giveBack(chain, lane);
        }
    }

    void predict(ByteBuffer x, ByteBuffer answer) {
        if (x.remaining() != input.numBytes() || answer.remaining() < output.numBytes()) {
            throw new IllegalArgumentException("Received " + x.remaining() + " bytes and room for "
                    + answer.remaining() + "; expected " + input.numBytes() + " and " + output.numBytes() + ".");
        }
        Chain chain = hold();
        Lane lane = null;
        try {
            lane = chain.take();
            lane.input.rewind();
            lane.input.put(x.duplicate());
            lane.run();
            lane.output.rewind();
            answer.duplicate().put(lane.output);
        } finally {
            giveBack(chain, lane);
        }
    }

    private void checkInput(String dtype, int count) {
        if (!input.dtype.equals(dtype) || count != input.numElements()) {
            throw new IllegalArgumentException("Received " + count + " numbers of " + dtype + "; expected " + input
                    + ", which are " + input.numElements() + ".");
        }
    }

    /** The chain of the moment, held; an upgrade may replace it while an answer runs on it. */
    private Chain hold() {
        while (true) {
            Chain chain = switcher.chain;
            if (chain.isClosed()) {
                throw Switcher.closedError();
            }
            if (chain.hold()) {
                return chain;
            }
            // It was replaced and given back between the two lines; the next one is there already.
        }
    }

    private static void giveBack(Chain chain, Lane lane) {
        if (lane != null) {
            chain.give(lane);
        }
        chain.release();
    }

    private float[] answer(Lane lane) {
        lane.run();
        float[] found = new float[(int) output.numElements()];
        lane.output.rewind();
        lane.output.asFloatBuffer().get(found);
        return found;
    }
}
