package tfpwl.bench;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jetbrains.annotations.NotNull;
import tfpwl.Mix;
import tfpwl.TfpwlException;
import tfpwl.runtime.Change;
import tfpwl.runtime.ChangeListener;
import tfpwl.runtime.ProgressiveModel;
import tfpwl.runtime.State;

/** Answers without a pause while the bundle upgrades in the background: how long each took, and what it was. */
final class UpgradeTrace {
    /** Asked after the last swap: the first answers of a new chain belong to the upgrade, too. */
    private static final int ANSWERS_AFTER = 5;
    private static final double TIMEOUT_MS = 300e3;

    final Times asked = new Times();
    final Times taken = new Times();
    /** Per answer, indices into the path. */
    final Times before = new Times();
    final Times after = new Times();
    int lost;
    private final List<Mix> path;
    private final List<ByteBuffer> answers = new ArrayList<ByteBuffer>();
    private final List<Map<String, Object>> marks = new ArrayList<Map<String, Object>>();
    private long start;
    private double upgradeMs = Double.NaN;

    UpgradeTrace(List<Mix> path) {
        this.path = path;
    }

    /**
     * Upgrade a bundle that stands at all-student.
     *
     * @throws TfpwlException what made the upgrade fail
     * @throws MeasurementException it takes longer than five minutes
     */
    void record(BundleSubject subject, Question question) throws InterruptedException {
        ProgressiveModel model = subject.model;
        ChangeListener listener = new ChangeListener() {
            @Override
            public void onChange(@NotNull Change change) {
                mark(change.mix, change.state);
            }
        };
        model.addListener(listener);
        start = System.nanoTime();
        mark(model.mix(), model.state());
        model.upgrade();
        int left = ANSWERS_AFTER;
        while (left > 0) {
            ask(subject, question);
            if (model.state() != State.UPGRADING) {
                left--;
            }
            if (sinceStart() > TIMEOUT_MS) {
                throw new MeasurementException("upgrade_timeout",
                        "The upgrade has not ended after " + TIMEOUT_MS / 1e3 + " s; it stands at " + model.mix()
                        + ".");
            }
        }
        model.await((long) TIMEOUT_MS, TimeUnit.MILLISECONDS);
        model.removeListener(listener);
        TfpwlException error = model.lastError();
        if (error != null) {
            throw error;
        }
    }

    private double sinceStart() {
        return (System.nanoTime() - start) / 1e6;
    }

    private synchronized void mark(Mix mix, State state) {
        double now = sinceStart();
        if (state == State.COMPLETE) {
            upgradeMs = now;
        }
        if (marks.isEmpty() || !marks.get(marks.size() - 1).get("mix").equals(mix.toString())) {
            Map<String, Object> fields = new LinkedHashMap<String, Object>();
            fields.put("mix", mix.toString());
            fields.put("at_ms", now);
            marks.add(fields);
        }
    }

    private void ask(BundleSubject subject, Question question) {
        int from = path.indexOf(subject.model.mix());
        double at = sinceStart();
        double ms;
        try {
            ms = question.ask(subject);
        } catch (TfpwlException exc) {
            lost++;
            return;
        }
        add(at, ms, from, path.indexOf(subject.model.mix()), question.answer);
    }

    /** Take an answer down. Equal ones share their memory, so that thousands of them cost nothing. */
    void add(double at, double ms, int from, int to, ByteBuffer answer) {
        asked.add(at);
        taken.add(ms);
        before.add(from);
        after.add(to);
        ByteBuffer last = answers.isEmpty() ? null : answers.get(answers.size() - 1);
        if (last == null || !last.equals(answer)) {
            last = ByteBuffer.allocate(answer.remaining()).order(answer.order());
            last.put(answer.duplicate());
            last.rewind();
        }
        answers.add(last);
    }

    /**
     * Answers that no mix gives which answered between the question and the answer.
     *
     * @param expected the answer of each mix of the path, at rest
     * @param tolerance largest difference between two numbers of an answer, for engines whose answers are not the same
     *     to the bit every time; 0 demands the same bits
     */
    int numWrong(List<ByteBuffer> expected, float tolerance) {
        int wrong = 0;
        for (int i = 0; i < answers.size(); i++) {
            boolean right = false;
            for (int mix = (int) before.get(i); mix <= after.get(i); mix++) {
                right = right || same(answers.get(i), expected.get(mix), tolerance);
            }
            wrong += right ? 0 : 1;
        }
        return wrong;
    }

    private static boolean same(ByteBuffer answer, ByteBuffer expected, float tolerance) {
        if (tolerance == 0) {
            return answer.equals(expected);
        }
        for (int at = 0; at < answer.capacity(); at += 4) {
            if (!(Math.abs(answer.getFloat(at) - expected.getFloat(at)) <= tolerance)) {
                return false;
            }
        }
        return true;
    }

    /** Each answer as a multiple of the steady median of the slower mix of its step. */
    Times ratios(double[] steadyMedians) {
        Times ratios = new Times();
        int last = steadyMedians.length - 1;
        for (int i = 0; i < taken.count(); i++) {
            int from = (int) before.get(i);
            int to = (int) after.get(i);
            // The step that is under way leads from the mix that answers to the next one.
            int other = from < last ? from + 1 : Math.max(0, last - 1);
            double slower = Math.max(steadyMedians[other], Math.max(steadyMedians[from], steadyMedians[to]));
            ratios.add(taken.get(i) / slower);
        }
        return ratios;
    }

    /** What the device does to an answer when nothing loads: the worst of as many answers of each mix at rest. */
    double restWorstRatio(List<Times> steady) {
        int[] left = new int[steady.size()];
        for (double from : before.toArray()) {
            left[(int) from]++;
        }
        double worst = 0;
        for (int mix = 0; mix < left.length; mix++) {
            Times times = steady.get(mix);
            double median = times.median();
            for (int i = 0; i < Math.min(left[mix], times.count()); i++) {
                worst = Math.max(worst, times.get(i) / median);
            }
        }
        return worst;
    }

    Map<String, Object> toFields(int run, List<Times> steady, int wrong) {
        double[] medians = new double[steady.size()];
        for (int i = 0; i < medians.length; i++) {
            medians[i] = steady.get(i).median();
        }
        Times ratios = ratios(medians);
        int over = 0;
        for (double ratio : ratios.toArray()) {
            over += ratio > 2 ? 1 : 0;
        }
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("run", run);
        fields.put("num_answers", taken.count());
        fields.put("median_ms", taken.median());
        fields.put("worst_ms", taken.max());
        fields.put("worst_ratio", ratios.max());
        fields.put("rest_worst_ratio", restWorstRatio(steady));
        fields.put("num_over", over);
        fields.put("lost", lost);
        fields.put("wrong", wrong);
        fields.put("upgrade_ms", upgradeMs);
        fields.put("mixes", marks);
        fields.put("asked_ms", asked.toArray());
        fields.put("taken_ms", taken.toArray());
        fields.put("mix_before", indices(before));
        fields.put("mix_after", indices(after));
        return fields;
    }

    private static int[] indices(Times values) {
        int[] found = new int[values.count()];
        for (int i = 0; i < found.length; i++) {
            found[i] = (int) values.get(i);
        }
        return found;
    }
}
