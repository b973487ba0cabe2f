package tfpwl.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tfpwl.EngineException;
import tfpwl.Mix;
import tfpwl.RuntimeTooOldException;
import tfpwl.SignatureException;
import tfpwl.bundle.Bundle;
import tfpwl.bundle.Fixtures;
import tfpwl.bundle.TensorSpec;

class EnginesTest {
    private final Bundle bundle = Bundle.open(Fixtures.bundle("fp32"));

    private ByteBuffer student() {
        return bundle.read(bundle.manifest().chain(Mix.of("SSS")).get(0), false);
    }

    @Test
    void withoutTflitesLibraryTheErrorSaysWhatToAdd() {
        assumeTrue(GatedEngine.isLiteRt(), "here the library is loaded");
        String message = assertThrows(EngineException.class,
                () -> ProgressiveModel.open(Fixtures.bundle("fp32"))).getMessage();
        assertTrue(message.contains("Add org.tensorflow:tensorflow-lite:2.16.1 to its dependencies"), message);
    }

    @Test
    void withoutTheGpuLibraryAFileFailsOrTheCpuTakesItsPlace() {
        String message = assertThrows(EngineException.class,
                () -> new InterpreterEngine(InterpreterEngine.Gpu.ALWAYS).load(student(), 1)).getMessage();
        assertTrue(message.contains("Add org.tensorflow:tensorflow-lite-gpu"), message);
        assumeTrue(!GatedEngine.isLiteRt(), "the CPU needs TFLite's library");
        LoadedGroup group = new InterpreterEngine(InterpreterEngine.Gpu.IF_PRESENT).load(student(), 1);
        assertEquals("float32 [1, 6, 6, 3]", group.output().toString());
        group.close();
    }

    @Test
    void aBundleMayAskForTheGpuAndOpensWithoutOne(@TempDir Path folder) throws IOException {
        assumeTrue(!GatedEngine.isLiteRt(), "the CPU needs TFLite's library");
        GatedEngine.real();
        for (File file : Fixtures.bundle("fp32").listFiles()) {
            Files.copy(file.toPath(), folder.resolve(file.getName()));
        }
        Path manifest = folder.resolve("manifest.json");
        String text = new String(Files.readAllBytes(manifest), StandardCharsets.UTF_8);
        Files.write(manifest, text.replace("\"delegate\": \"xnnpack\"", "\"delegate\": \"gpu\"")
                .getBytes(StandardCharsets.UTF_8));
        float[] x = Fixtures.inputs()[0];
        ProgressiveModel model = ProgressiveModel.open(folder.toFile());
        ProgressiveModel onCpu = ProgressiveModel.open(Fixtures.bundle("fp32"));
        assertEquals("gpu", model.bundle().manifest().delegate());
        assertEquals("xnnpack", onCpu.bundle().manifest().delegate());
        assertArrayEquals(onCpu.predict(x), model.predict(x));
        model.close();
        onCpu.close();
    }

    @Test
    void aKeyIsDemandedOfAnOpenBundleToo() {
        ModelOptions options = new ModelOptions().engine(GatedEngine.real());
        Bundle open = Bundle.open(Fixtures.bundle("fp32.tfpwl"));
        assertThrows(SignatureException.class,
                () -> ProgressiveModel.open(open, options.publicKey(Fixtures.key("other"))));
        ProgressiveModel.open(open, options.publicKey(Fixtures.key("right"))).close();
    }

    @Test
    void aGroupThatWasClosedSaysSo() {
        Engine engine = GatedEngine.real();
        LoadedGroup group = engine.load(student(), 1);
        LoadedGroup.Binding binding = group.bind(engine.allocate(36 * 4), engine.allocate(108 * 4));
        binding.run();
        binding.close();
        group.close();
        assertThrows(EngineException.class, binding::run);
    }

    @Test
    void aThreadBoundGroupIsLoadedRunAndClosedInOneThread() {
        List<Thread> threads = new ArrayList<>();
        Engine engine = GatedEngine.real();
        LoadedGroup inner = engine.load(student(), 1);
        ThreadBoundGroup group = new ThreadBoundGroup(() -> {
            threads.add(Thread.currentThread());
            return new LoadedGroup() {
                @Override
                public TensorSpec input() {
                    return inner.input();
                }

                @Override
                public TensorSpec output() {
                    return inner.output();
                }

                @Override
                public Binding bind(ByteBuffer input, ByteBuffer output) {
                    Binding binding = inner.bind(input, output);
                    return new Binding() {
                        @Override
                        public void run() {
                            threads.add(Thread.currentThread());
                            binding.run();
                        }

                        @Override
                        public void close() {
                            binding.close();
                        }
                    };
                }

                @Override
                public void close() {
                    threads.add(Thread.currentThread());
                    inner.close();
                }
            };
        });
        LoadedGroup.Binding binding = group.bind(engine.allocate(36 * 4), engine.allocate(108 * 4));
        binding.run();
        binding.close();
        group.close();
        assertEquals(3, threads.size());
        assertEquals(1, threads.stream().distinct().count());
        assertTrue(threads.get(0) != Thread.currentThread());
    }

    @Test
    void aThreadBoundGroupThatCannotBeLoadedThrowsTheReason() {
        assertEquals("planned", assertThrows(EngineException.class, () -> new ThreadBoundGroup(() -> {
            throw new EngineException("planned");
        })).getMessage());
        assertTrue(assertThrows(EngineException.class, () -> new ThreadBoundGroup(() -> {
            throw new UnsatisfiedLinkError("planned");
        })).getMessage().contains("planned"));
    }

    @Test
    void versionsOfLiteRtAreToldFromThoseOfTflite() {
        assertEquals("2.16.1", TfliteLevel.of("2.16.1"));
        assertEquals("2.6.2", TfliteLevel.of("2.6.2"));
        assertEquals("2.17.0", TfliteLevel.of("1.0.1"));
        assertEquals("2.21.0", TfliteLevel.of("2.1.0"));
        assertEquals("2.17.0", TfliteLevel.of("2.17.0-rc1"));
        TfliteLevel.check("2.16.0", "2.16.1");
        TfliteLevel.check("2.9.9", "2.16.0");
        assertThrows(RuntimeTooOldException.class, () -> TfliteLevel.check("2.16.2", "2.16.1"));
        assertThrows(RuntimeTooOldException.class, () -> TfliteLevel.check("2.16.0", "2.9.9"));
    }
}
