package tfpwl.runtime;

import java.io.File;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import tfpwl.Mix;
import tfpwl.bundle.Bundle;

/**
 * What the library adds on a desktop: answers during upgrades against those at rest, a chain against one piece.
 *
 * <p>Not a test; the command is in android_bench/README.md.
 */
public final class HostBenchmark {
    private static final int ANSWERS = 300;

    private HostBenchmark() {
    }

    /** Arguments: a bundle's folder or pack, the whole teacher as one .tflite file, rounds. */
    public static void main(String[] arguments) throws Exception {
        Bundle bundle = Bundle.open(new File(arguments[0]));
        int rounds = Integer.parseInt(arguments[2]);
        Engine engine = GatedEngine.real();
        try (ProgressiveModel model = ProgressiveModel.open(bundle, new ModelOptions().engine(engine))) {
            upgrades(model, rounds);
            chainAgainstOnePiece(model, engine, new File(arguments[1]), rounds);
        }
    }

    private static void upgrades(ProgressiveModel model, int rounds) throws Exception {
        float[] x = new float[(int) model.bundle().manifest().input().tensor.numElements()];
        Mix student = model.mix();
        List<Double> ratios = new ArrayList<>();
        List<Double> atRest = new ArrayList<>();
        for (int round = -2; round < rounds; round++) {
            double[] students = answers(model, x);
            model.upgrade();
            double slowest = 0;
            int count = 0;
            while (model.state() == State.UPGRADING) {
                slowest = Math.max(slowest, answer(model, x));
                count++;
            }
            double[] teachers = answers(model, x);
            if (round >= 0) {
                // An answer of the upgrade may come from any mix, so that the slowest mix at rest is the measure.
                double rest = Math.max(median(students), median(teachers));
                ratios.add(slowest / rest);
                // What the machine's other work does to as many answers when nothing loads.
                double slowestAtRest = 0;
                for (int i = 0; i < count; i++) {
                    slowestAtRest = Math.max(slowestAtRest, teachers[i % ANSWERS]);
                }
                atRest.add(slowestAtRest / rest);
                System.out.printf(Locale.ROOT,
                        "round %d: student %.2f ms, teacher %.2f ms, worst of %d answers during the upgrade %.2f ms%n",
                        round, median(students), median(teachers), count, slowest);
            }
            model.downgradeNow(student);
        }
        System.out.printf(Locale.ROOT,
                "worst answer / slower steady median: median %.2f, max %.2f of %d rounds; at rest %.2f, %.2f%n",
                median(ratios), Collections.max(ratios), rounds, median(atRest), Collections.max(atRest));
    }

    private static void chainAgainstOnePiece(ProgressiveModel model, Engine engine, File file, int rounds)
            throws Exception {
        model.upgradeNow(null, null);
        ByteBuffer content;
        try (RandomAccessFile open = new RandomAccessFile(file, "r")) {
            content = open.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, open.length());
        }
        LoadedGroup group = engine.load(content, 1);
        ByteBuffer input = engine.allocate(group.input().numBytes());
        ByteBuffer output = engine.allocate(group.output().numBytes());
        LoadedGroup.Binding binding = group.bind(input, output);
        float[] x = new float[(int) group.input().numElements()];
        float[] y = new float[(int) group.output().numElements()];
        List<Double> ratios = new ArrayList<>();
        for (int round = 0; round < rounds; round++) {
            double[] chain = new double[ANSWERS];
            double[] whole = new double[ANSWERS];
            // In turn, so that what else the machine does meets both.
            for (int i = 0; i < ANSWERS; i++) {
                chain[i] = answer(model, x);
                long start = System.nanoTime();
                input.rewind();
                input.asFloatBuffer().put(x);
                binding.run();
                output.rewind();
                output.asFloatBuffer().get(y);
                whole[i] = (System.nanoTime() - start) / 1e6;
            }
            ratios.add(median(chain) / median(whole));
        }
        System.out.printf(Locale.ROOT, "all-teacher chain / one piece: median %.3f, %.3f to %.3f of %d rounds%n",
                median(ratios), Collections.min(ratios), Collections.max(ratios), rounds);
        binding.close();
        group.close();
    }

    private static double answer(ProgressiveModel model, float[] x) {
        long start = System.nanoTime();
        model.predict(x);
        return (System.nanoTime() - start) / 1e6;
    }

    private static double[] answers(ProgressiveModel model, float[] x) {
        double[] found = new double[ANSWERS];
        for (int i = 0; i < ANSWERS; i++) {
            found[i] = answer(model, x);
        }
        return found;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    private static double median(List<Double> values) {
        double[] plain = new double[values.size()];
        for (int i = 0; i < plain.length; i++) {
            plain[i] = values.get(i);
        }
        return median(plain);
    }
}
