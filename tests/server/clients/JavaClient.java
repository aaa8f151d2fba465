import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** The JDK's own HTTP client, on which Spring AI and langchain4j stand: it offers HTTP/2 with every request over http://. */
public class JavaClient {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (boolean stream : new boolean[] {false, true, false}) {
            String body = "{\"model\": \"words\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"stream\": " + stream + "}";
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0] + "/chat/completions"))
                .header("Authorization", "Bearer sk-key")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            String text = response.body();
            String said = text.contains("Once") && text.contains(" a time") ? "Once upon a time" : text;
            System.out.println(response.statusCode() + " " + said + (text.endsWith("data: [DONE]\n\n") ? " [DONE]" : ""));
        }
    }
}
