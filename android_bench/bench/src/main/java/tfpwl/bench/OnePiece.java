package tfpwl.bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import tfpwl.runtime.Engine;
import tfpwl.runtime.LoadedGroup;

/** A model in one piece on the same engine, mapped, copied in and out of as the bundle is. */
final class OnePiece implements Subject {
    private final LoadedGroup group;
    private final LoadedGroup.Binding binding;
    private final ByteBuffer input;
    private final ByteBuffer output;
    private final long filesBytes;

    /**
     * @throws UsageException the file cannot be read
     * @throws tfpwl.EngineException the engine cannot run it
     */
    OnePiece(Rival rival, Engine engine, int threads) {
        ByteBuffer content = map(rival);
        filesBytes = content.capacity();
        group = engine.load(content, threads);
        input = engine.allocate(group.input().numBytes());
        output = engine.allocate(group.output().numBytes());
        binding = group.bind(input, output);
    }

    private static ByteBuffer map(Rival rival) {
        try {
            RandomAccessFile file = new RandomAccessFile(rival.file, "r");
            try {
                ByteBuffer map = file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length());
                return map.order(ByteOrder.nativeOrder());
            } finally {
                file.close();
            }
        } catch (IOException exc) {
            throw new UsageException("Received --rival " + rival.name + "=" + rival.file + ": " + exc.getMessage()
                    + "; expected a .tflite file.");
        }
    }

    /**
     * Refuse a model that takes or gives another number of bytes than the bundle.
     *
     * @throws UsageException it does
     */
    void check(Rival rival, Question question) {
        if (input.capacity() != question.x.capacity() || output.capacity() != question.answer.capacity()) {
            throw new UsageException("Received --rival " + rival.name + "=" + rival.file + ", which makes "
                    + group.output() + " of " + group.input() + "; expected " + question.x.capacity() + " bytes in and "
                    + question.answer.capacity() + " bytes out, as the bundle has.");
        }
    }

    @Override
    public void answer(ByteBuffer x, ByteBuffer answer) {
        input.rewind();
        input.put(x.duplicate());
        binding.run();
        output.rewind();
        answer.duplicate().put(output);
    }

    @Override
    public long filesBytes() {
        return filesBytes;
    }

    @Override
    public void close() {
        binding.close();
        group.close();
    }
}
