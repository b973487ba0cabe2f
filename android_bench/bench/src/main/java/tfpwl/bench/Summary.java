package tfpwl.bench;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The figures to look at first: medians over the runs, the worst of all runs. */
final class Summary {
    private static final String[] START = {"create_ms", "first_ms", "total_ms"};
    private static final String[] STEADY = {"median_ms", "p90_ms", "p99_ms"};

    private Summary() {
    }

    /**
     * @param result with its lists {@code starts}, {@code steady}, {@code compared}, {@code upgrades}, {@code memory}
     */
    static Map<String, Object> of(Map<String, Object> result) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("subjects", subjects(result));
        Map<String, Object> mixes = new LinkedHashMap<String, Object>();
        for (Map<String, Object> row : rows(result, "steady")) {
            if (row.get("mix") != null) {
                mixes.put((String) row.get("mix"), medians(rows(result, "steady"), "mix", row.get("mix"), STEADY));
            }
        }
        fields.put("steady", mixes);
        fields.put("upgrade", upgrade(rows(result, "upgrades")));
        fields.put("memory", memory(rows(result, "memory")));
        return fields;
    }

    private static Map<String, Object> subjects(Map<String, Object> result) {
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        for (Map<String, Object> row : rows(result, "starts")) {
            String name = (String) row.get("subject");
            Map<String, Object> fields = medians(rows(result, "starts"), "subject", name, START);
            if (!name.equals(Arguments.BUNDLE)) {
                fields.putAll(medians(rows(result, "steady"), "subject", name, STEADY));
                fields.put("chain_ratio", column(rows(result, "compared"), "rival", name, "ratio").median());
            }
            found.put(name, fields);
        }
        return found;
    }

    private static Map<String, Object> upgrade(List<Map<String, Object>> rows) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("upgrade_ms", column(rows, "upgrade_ms").median());
        fields.put("num_answers", sum(rows, "num_answers"));
        fields.put("worst_ms", column(rows, "worst_ms").max());
        fields.put("worst_ratio", column(rows, "worst_ratio").max());
        fields.put("median_worst_ratio", column(rows, "worst_ratio").median());
        fields.put("median_rest_worst_ratio", column(rows, "rest_worst_ratio").median());
        for (String key : new String[] {"num_over", "lost", "wrong"}) {
            fields.put(key, sum(rows, key));
        }
        return fields;
    }

    private static Map<String, Object> memory(List<Map<String, Object>> rows) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("peak_rss_bytes", ProcessMemory.peakRssBytes());
        Times student = new Times();
        Times complete = new Times();
        for (Map<String, Object> row : rows) {
            if (row.get("subject").equals(Arguments.BUNDLE) && row.get("pss_bytes") != null) {
                if (row.get("at").equals("loaded")) {
                    student.add(((Number) row.get("pss_bytes")).doubleValue());
                } else if (row.get("at").equals("complete")) {
                    complete.add(((Number) row.get("pss_bytes")).doubleValue());
                }
            }
        }
        fields.put("student_pss_bytes", student.count() == 0 ? null : (Object) (long) student.median());
        fields.put("complete_pss_bytes", complete.count() == 0 ? null : (Object) (long) complete.median());
        return fields;
    }

    @SuppressWarnings("unchecked")
    private static List<Map<String, Object>> rows(Map<String, Object> result, String key) {
        return (List<Map<String, Object>>) result.get(key);
    }

    private static Map<String, Object> medians(List<Map<String, Object>> rows, String key, Object value,
            String[] columns) {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        for (String name : columns) {
            fields.put(name, column(rows, key, value, name).median());
        }
        return fields;
    }

    private static Times column(List<Map<String, Object>> rows, String key, Object value, String name) {
        Times found = new Times();
        for (Map<String, Object> row : rows) {
            if (value.equals(row.get(key))) {
                found.add(((Number) row.get(name)).doubleValue());
            }
        }
        return found;
    }

    private static Times column(List<Map<String, Object>> rows, String name) {
        Times found = new Times();
        for (Map<String, Object> row : rows) {
            found.add(((Number) row.get(name)).doubleValue());
        }
        return found;
    }

    private static long sum(List<Map<String, Object>> rows, String name) {
        long sum = 0;
        for (Map<String, Object> row : rows) {
            sum += ((Number) row.get(name)).longValue();
        }
        return sum;
    }
}
