package tfpwl.runtime;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/** Memory for one answer at a time: two blocks in turn, as a group needs only its own input and output. */
final class Lane {
    final ByteBuffer input;
    final ByteBuffer output;
    private final List<LoadedGroup.Binding> bindings = new ArrayList<LoadedGroup.Binding>();

    Lane(Engine engine, List<Step> steps) {
        int[] sizes = new int[steps.size() + 1];
        sizes[0] = steps.get(0).group.input().numBytes();
        for (int i = 0; i < steps.size(); i++) {
            sizes[i + 1] = steps.get(i).group.output().numBytes();
        }
        ByteBuffer[] blocks = {engine.allocate(largest(sizes, 0)), engine.allocate(largest(sizes, 1))};
        input = part(blocks[0], sizes[0]);
        output = part(blocks[steps.size() % 2], sizes[steps.size()]);
        try {
            for (int i = 0; i < steps.size(); i++) {
                bindings.add(steps.get(i).group.bind(
                        part(blocks[i % 2], sizes[i]), part(blocks[(i + 1) % 2], sizes[i + 1])));
            }
        } catch (RuntimeException exc) {
            close();
            throw exc;
        }
    }

    private static int largest(int[] sizes, int first) {
        int found = 0;
        for (int i = first; i < sizes.length; i += 2) {
            found = Math.max(found, sizes[i]);
        }
        return found;
    }

    /** The first bytes of a block. Engines look at the capacity, so a limit would not do. */
    private static ByteBuffer part(ByteBuffer block, int bytes) {
        ByteBuffer front = block.duplicate();
        front.position(0);
        front.limit(bytes);
        return front.slice().order(ByteOrder.nativeOrder());
    }

    void run() {
        for (LoadedGroup.Binding binding : bindings) {
            binding.run();
        }
    }

    void close() {
        for (LoadedGroup.Binding binding : bindings) {
            binding.close();
        }
        bindings.clear();
    }
}
